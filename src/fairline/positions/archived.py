"""Settlements that the exchange no longer lists, rebuilt from the fills of the market and what it paid."""

from collections.abc import Collection, Iterable, Mapping

from fairline.positions.records import Fill, SettledMarket


def unlisted_markets(fills: Iterable[Fill], listed: Collection[str]) -> list[str]:
    """Return the markets with fills that are neither among the positions nor among the settlements."""
    return list(dict.fromkeys(fill.ticker for fill in fills if fill.ticker not in listed))


def rebuild_settlements(fills: Iterable[Fill], payouts_u: Mapping[str, int]) -> list[SettledMarket]:
    """Return a settlement for each market in `payouts_u` (what one YES contract paid), gross by side like a listed one.

    The time is that of the last fill: when the market was settled is not known.
    """
    by_market: dict[str, list[Fill]] = {}
    for fill in fills:
        if fill.ticker in payouts_u:
            by_market.setdefault(fill.ticker, []).append(fill)
    return [_rebuild(ticker, own, payouts_u[ticker]) for ticker, own in by_market.items()]


def _rebuild(ticker: str, fills: list[Fill], payout_u: int) -> SettledMarket:
    sides = {side: [fill for fill in fills if fill.direction == side] for side in ("yes", "no")}
    counts = {side: sum(fill.count_cc for fill in own) for side, own in sides.items()}
    costs = {side: sum(fill.cost_u for fill in own) for side, own in sides.items()}
    return SettledMarket(
        ticker=ticker,
        event_ticker="",
        result="",
        yes_cc=counts["yes"],
        no_cc=counts["no"],
        yes_cost_u=costs["yes"],
        no_cost_u=costs["no"],
        fee_u=sum(fill.fee_u for fill in fills),
        revenue_u=0,
        value_u=payout_u,
        at=max(fill.at for fill in fills),
    )
