"""What a store recorded of single markets: observations, trades, outcomes and closing lines."""

from collections.abc import Sequence
from datetime import datetime

import polars as pl

from fairline.backtesting.fills import Level, Observation, Side, Trade, Watched
from fairline.backtesting.simulate import Outcome
from fairline.market.frame import NOTIONAL_U
from fairline.store.store import Store


class RecordedPast:
    """The past of the markets that were decided on, read from a store at once.

    A market counts as observed at every scan, changed or not, and whenever a quote of it was recorded.
    """

    def __init__(self, store: Store, tickers: Sequence[str], since: datetime) -> None:
        chosen = pl.col("ticker").is_in(list(tickers))
        before = store.latest("quotes", since, chosen)
        after = store.read("quotes", since=since, where=chosen)
        self._quotes = _by_ticker(pl.concat([before, after]))
        self._depth = _by_ticker(store.read("depth", since=since, where=chosen))
        block_trade = pl.col("is_block").fill_null(value=False)
        tape = store.read("trades", where=chosen & ~block_trade & (pl.col("created_ts") >= since))
        self._trades = _by_ticker(tape, "created_ts")
        self._scans = _scan_instants(store, since)
        self._outcomes = _outcomes(store, chosen)
        self._starts = _starts(store, chosen)
        self._watched: dict[str, Watched] = {}

    def market(self, ticker: str) -> Watched:
        """Return what was seen of a market."""
        if ticker not in self._watched:
            rows = self._quotes.get(ticker)
            seen = {} if rows is None else {row["seen_ts"]: _observation(row) for row in rows.iter_rows(named=True)}
            # A whole order book says more than the best quotes of the same instant.
            seen |= _book_observations(self._depth.get(ticker))
            self._watched[ticker] = Watched([seen[moment] for moment in sorted(seen)], self._scans)
        return self._watched[ticker]

    def trades(self, ticker: str) -> list[Trade]:
        """Return the recorded trades of a market, in order of time. A block trade is no offer to anybody else."""
        rows = self._trades.get(ticker)
        if rows is None:
            return []
        columns = rows.select("created_ts", "price_u", "count_cc").iter_rows()
        return [Trade(traded_at, price_u, count_cc) for traded_at, price_u, count_cc in columns]

    def outcome(self, ticker: str) -> Outcome | None:
        return self._outcomes.get(ticker)

    def closing_mid(self, ticker: str) -> float | None:
        """Return the midpoint of the last two-sided quote before play begins; None if either is unknown."""
        starts = self._starts.get(ticker)
        rows = self._quotes.get(ticker)
        if starts is None or rows is None:
            return None
        two_sided = rows.filter(
            (pl.col("seen_ts") < starts)
            & pl.col("listed")
            & pl.col("yes_bid_u").is_not_null()
            & pl.col("yes_ask_u").is_not_null()
        )
        if two_sided.is_empty():
            return None
        last = two_sided.row(-1, named=True)
        return float(last["yes_bid_u"] + last["yes_ask_u"]) / (2 * NOTIONAL_U)


def _by_ticker(rows: pl.DataFrame, time: str = "seen_ts") -> dict[str, pl.DataFrame]:
    parts = rows.sort(time, maintain_order=True).partition_by("ticker", as_dict=True, maintain_order=True)
    return {str(key[0]): rows for key, rows in parts.items()}


def _scan_instants(store: Store, since: datetime) -> list[datetime]:
    scans = store.read("scans", since=since).filter(pl.col("complete").fill_null(value=False))
    return sorted(scans["seen_ts"].to_list())


def _observation(row: dict[str, object]) -> Observation:
    """Return what could be bought and what was bid; a market that is not listed or not active has neither."""
    if not row["listed"] or row["status"] != "active":
        return Observation(_moment(row["seen_ts"]), {}, {})
    bid = _level(row["yes_bid_u"], row["yes_bid_size_cc"])
    ask = _level(row["yes_ask_u"], row["yes_ask_size_cc"])
    offers: dict[Side, Sequence[Level]] = {"yes": ask, "no": _mirror(bid)}
    bids: dict[Side, Sequence[Level]] = {"yes": bid, "no": _mirror(ask)}
    return Observation(_moment(row["seen_ts"]), offers, bids)


def _book_observations(rows: pl.DataFrame | None) -> dict[datetime, Observation]:
    """Return an observation for each order book in rows of DEPTH, by its instant."""
    if rows is None:
        return {}
    books = {}
    for (seen_at,), levels in rows.sort("seen_ts").group_by(["seen_ts"], maintain_order=True):
        bids = {side: _best_first(levels, side) for side in ("yes", "no")}
        moment = _moment(seen_at)
        offers: dict[Side, Sequence[Level]] = {"yes": _mirror(bids["no"]), "no": _mirror(bids["yes"])}
        books[moment] = Observation(moment, offers, {"yes": bids["yes"], "no": bids["no"]})
    return books


def _best_first(levels: pl.DataFrame, side: str) -> tuple[Level, ...]:
    bids = levels.filter(pl.col("side") == side).drop_nulls("price_u").sort("price_u", descending=True)
    return tuple(Level(price_u, size_cc) for price_u, size_cc in bids.select("price_u", "size_cc").iter_rows())


def _moment(value: object) -> datetime:
    if not isinstance(value, datetime):
        raise TypeError("a recorded row has an instant")
    return value


def _level(price_u: object, size_cc: object) -> tuple[Level, ...]:
    if not isinstance(price_u, int):
        return ()
    return (Level(price_u, size_cc if isinstance(size_cc, int) else None),)


def _mirror(levels: tuple[Level, ...]) -> tuple[Level, ...]:
    """Return the same contracts seen from the other side: selling YES is buying NO at the rest of the dollar."""
    return tuple(Level(NOTIONAL_U - level.price_u, level.size_cc) for level in levels)


def _outcomes(store: Store, chosen: pl.Expr) -> dict[str, Outcome]:
    rows = store.read("settlements", where=chosen).drop_nulls("payout_u")
    last = rows.unique("ticker", keep="last", maintain_order=True)
    columns = last.select("ticker", "payout_u", "seen_ts").iter_rows()
    return {ticker: Outcome(payout_u, seen_at) for ticker, payout_u, seen_at in columns}


def _starts(store: Store, chosen: pl.Expr) -> dict[str, datetime]:
    facts = store.latest("facts", where=chosen).drop_nulls("milestone_ts")
    return dict(facts.select("ticker", "milestone_ts").iter_rows())
