"""A series' markets of the past: when they traded, whether they are archived, and their rows of the datasets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl

from fairline.kalshi.history import SettledMarket, contracts
from fairline.kalshi.wire import Event, Market, Series
from fairline.market.frame import MARKETS, count_units, markets_frame, with_context
from fairline.market.history import settlements_frame
from fairline.store.datasets import FACTS, QUOTES

EARLY_CLOSE = timedelta(days=1)
"""A market that can close early and closed this long before its expected expiration is taken to have closed early."""
_AFTER = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class PastMarket:
    """A market and the time over which it traded, in Unix seconds; `end` is its settlement, or now."""

    row: SettledMarket
    market: Market | None
    archived: bool
    start: int
    end: int

    @property
    def ticker(self) -> str:
        return self.row.ticker

    @property
    def settled(self) -> bool:
        return self.row.settlement_ts is not None


def parse_ts(text: str | None) -> datetime | None:
    """Return an RFC 3339 time; None for what is not one. Fractions of a second may have any number of digits."""
    if not text:
        return None
    head, dot, tail = text.replace("Z", "+00:00").partition(".")
    if dot:
        digits, sign, zone = tail.partition("+")
        head = f"{head}.{digits[:6]:0<6}{sign}{zone}"
    try:
        moment = datetime.fromisoformat(head)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def create_past_market(row: SettledMarket, market: Market | None, *, archived: bool, now: datetime) -> PastMarket:
    """Return a market with its trading time: until its settlement, because trading may outlast `close_time`."""
    opened = parse_ts(row.open_time) or parse_ts(row.created_time) or now
    end = parse_ts(row.settlement_ts) or now
    return PastMarket(row, market, archived, int(opened.timestamp()), -int(-end.timestamp() // 1))


def market_tables(
    markets: Sequence[PastMarket], series: Series | None, events: Sequence[Event]
) -> Mapping[str, pl.DataFrame]:
    """Return the rows of facts, settlements and quotes that follow from the markets themselves.

    Facts are known from a market's creation. It is closed after `close_time`, and no longer listed once it settled.
    """
    return {
        "facts": _facts(markets, [] if series is None else [series], events),
        "settlements": _settlements(markets),
        "quotes": _endings(markets),
    }


def _facts(markets: Sequence[PastMarket], series: Sequence[Series], events: Sequence[Event]) -> pl.DataFrame:
    full, _ = markets_frame([past.market for past in markets if past.market is not None])
    sparse = [past for past in markets if past.ticker not in set(full["ticker"])]
    rows = pl.concat([full, _sparse_facts(sparse)])
    named = with_context(rows, series, events)
    times = pl.DataFrame(
        [(past.ticker, _known_ts(past), _listed_close(past)) for past in markets],
        schema={"ticker": pl.String, "seen_ts": FACTS["seen_ts"], "listed_close_ts": FACTS["seen_ts"]},
        orient="row",
    )
    joined = named.join(times.unique("ticker"), on="ticker", how="left")
    joined = joined.with_columns(close_ts=pl.coalesce("listed_close_ts", "close_ts"))
    return joined.select(name for name in FACTS.names() if name in joined.columns)


def _sparse_facts(markets: Sequence[PastMarket]) -> pl.DataFrame:
    """Return MARKETS of rows that lack what today's rows have; what they lack is null."""
    values = [
        {
            "ticker": past.ticker,
            "event_ticker": past.row.event_ticker,
            "status": past.row.status,
            "market_type": past.row.market_type or "binary",
            "title": past.row.title,
            "yes_sub_title": past.row.yes_sub_title,
            "created_ts": parse_ts(past.row.created_time),
            "open_ts": parse_ts(past.row.open_time),
            "close_ts": parse_ts(past.row.close_time),
            "decided_ts": parse_ts(past.row.occurrence_datetime) or parse_ts(past.row.expected_expiration_time),
            "strike_type": past.row.strike_type,
            "floor_strike": past.row.floor_strike,
            "cap_strike": past.row.cap_strike,
        }
        for past in markets
    ]
    return pl.DataFrame(values, schema={name: dtype for name, dtype in MARKETS.items() if name in _SPARSE}).select(
        pl.col(name) if name in _SPARSE else pl.lit(None, dtype=dtype).alias(name) for name, dtype in MARKETS.items()
    )


_SPARSE = (
    "ticker", "event_ticker", "status", "market_type", "title", "yes_sub_title", "created_ts", "open_ts", "close_ts",
    "decided_ts", "strike_type", "floor_strike", "cap_strike",
)  # fmt: skip


def _known_ts(past: PastMarket) -> datetime:
    created = parse_ts(past.row.created_time) or parse_ts(past.row.open_time)
    return created or datetime.fromtimestamp(past.start, UTC)


def _listed_close(past: PastMarket) -> datetime | None:
    """Return the closing time as it was listed before. That of a market that closed early is its expected expiration:

    the time at which it really closed was not known in advance.
    """
    closed, expected = parse_ts(past.row.close_time), parse_ts(past.row.expected_expiration_time)
    if past.row.can_close_early and closed and expected and expected - closed > EARLY_CLOSE:
        return expected
    return closed


def _settlements(markets: Sequence[PastMarket]) -> pl.DataFrame:
    rows = settlements_frame([past.row for past in markets if past.settled])
    return rows.with_columns(seen_ts="settled_ts").drop_nulls("seen_ts")


def _endings(markets: Sequence[PastMarket]) -> pl.DataFrame:
    """Return a closed quote right after the close, and an unlisted one right after the settlement."""
    rows = []
    for past in markets:
        closed, settled = parse_ts(past.row.close_time), parse_ts(past.row.settlement_ts)
        if settled is None:
            continue
        volume = contracts(past.row.volume_fp, past.row.volume)
        if closed is not None and closed < settled:
            rows.append((closed + _AFTER, past.ticker, True, "closed", volume))
        rows.append((settled + _AFTER, past.ticker, False, "finalized", volume))
    schema = {name: QUOTES[name] for name in ("seen_ts", "ticker", "listed", "status")}
    frame = pl.DataFrame(rows, schema=schema | {"volume_cc": pl.String()}, orient="row")
    return frame.with_columns(volume_cc=count_units("volume_cc"))
