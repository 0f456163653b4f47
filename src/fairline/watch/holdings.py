"""What a watch does with the account's holdings: no alert for what is held, one when its believed edge is gone."""

import logging
from collections.abc import Mapping
from datetime import datetime

import polars as pl

from fairline.kalshi import Kalshi, KalshiError
from fairline.kalshi.portfolio import read_account_state
from fairline.market.frame import NOTIONAL_U
from fairline.market.listing import Listing
from fairline.positions.held import holdings_of
from fairline.pricing.holdings import Holdings
from fairline.scanner import Evaluation
from fairline.watch.alerts import Item, Key, Kind, Tracked, describe

log = logging.getLogger("fairline.watch")

_SUFFIX = " (holdings)"


def state_name(rule: str) -> str:
    """Return the name under which a rule's knowledge of holdings is kept, apart from that of its opportunities."""
    return rule + _SUFFIX


async def read_holdings(kalshi: Kalshi, previous: Holdings | None) -> Holdings | None:
    """Return the account's holdings, or the previous ones if they cannot be read now."""
    try:
        records = await read_account_state(kalshi.portfolio)
    except KalshiError as error:
        log.warning("the holdings cannot be read: %s", error)
        return previous
    for missing in records.missing:
        log.warning("holdings: %s", missing)
    return holdings_of(records)


def without_held(opportunities: pl.DataFrame, holdings: Holdings | None) -> pl.DataFrame:
    """Return the opportunities in markets whose side is neither held nor resting."""
    keys = holdings.keys() if holdings is not None else frozenset()
    if not keys:
        return opportunities
    held = pl.DataFrame(list(keys), schema={"ticker": pl.String, "side": pl.String}, orient="row")
    return opportunities.join(held, on=["ticker", "side"], how="anti", maintain_order="left")


def faded_rows(holdings: Holdings | None, listing: Listing, evaluation: Evaluation) -> pl.DataFrame:
    """Return a row per held side and model: `faded` if the believed payout is no more than the price to sell for.

    Holdings without a quote to sell to, or without a prediction, have no row.
    """
    held = pl.DataFrame(
        [(row.ticker, str(row.side)) for row in (holdings.rows if holdings is not None else ()) if row.count_cc],
        schema={"ticker": pl.String, "side": pl.String},
        orient="row",
    )
    quotes = listing.markets.select("ticker", "yes_bid_u", "yes_ask_u")
    exit_u = pl.when(pl.col("side") == "yes").then("yes_bid_u").otherwise(NOTIONAL_U - pl.col("yes_ask_u"))
    rows = evaluation.select(pl.col("ticker").is_in(held["ticker"].to_list()))
    return (
        rows.join(held, on=["ticker", "side"], how="semi", maintain_order="left")
        .select("ticker", "side", "model", "title", "believed_u")
        .join(quotes, on="ticker", how="left", maintain_order="left")
        .with_columns(exit_u=exit_u)
        .drop_nulls(["exit_u", "believed_u"])
        .with_columns(faded=pl.col("believed_u") <= pl.col("exit_u"))
        .select("ticker", "side", "model", "title", "believed_u", "exit_u", "faded")
    )


def decide_faded(rows: pl.DataFrame, tracked: Mapping[Key, Tracked], now: datetime) -> tuple[list[Item], list[Tracked]]:
    """Return an item for each holding whose edge was there and is gone, and what is known afterwards.

    A holding whose edge was never seen is only noted, so that a restart reports nothing.
    """
    items: list[Item] = []
    updates: list[Tracked] = []
    for row in rows.to_dicts():
        key = (row["ticker"], row["side"], row["model"])
        known = tracked.get(key)
        if not row["faded"]:
            if known is None or known.phase != "sent":
                updates.append(Tracked(key, "sent", 0.0, now, row))
        elif known is not None and known.phase == "sent":
            items.append(Item(key, Kind.FADED, describe(Kind.FADED, row)))
            updates.append(Tracked(key, "gone", 0.0, now, row))
    return items, updates
