"""The columns of a store's datasets.

Every dataset begins with `seen_ts`, when a row was recorded here: what was known at an instant is what had been
recorded by then, whatever times the exchange states. Suffixes are the units: `_u` micro-dollars, `_cc` hundredths of a
contract, `_ts` UTC, `_s` seconds; `p` and `p_*` are probabilities in [0, 1].
"""

from typing import Literal

import polars as pl

from fairline.market.frame import MARKETS

VERSION = 2
"""Version of the columns. Readers fill in columns that an earlier version lacks, and refuse a later version."""

_Types = dict[str, pl.DataType | type[pl.DataType]]
_TIME = pl.Datetime("us", "UTC")
_QUOTED = (
    "status",
    "yes_bid_u",
    "yes_ask_u",
    "yes_bid_size_cc",
    "yes_ask_size_cc",
    "last_price_u",
    "volume_cc",
    "volume_24h_cc",
    "open_interest_cc",
)


def _columns(own: _Types, markets: tuple[str, ...] = ()) -> pl.Schema:
    """Return a dataset's own columns, followed by some of MARKETS."""
    taken = {name: pl.String() if name == "price_ranges" else MARKETS[name] for name in markets}
    return pl.Schema({"seen_ts": _TIME, **own, **taken})


QUOTES = _columns({"ticker": pl.String, "listed": pl.Boolean, "source": pl.String}, _QUOTED)
"""A market's quotes whenever they changed; `listed` is false once the market is no longer among those watched.

`source` is null for the watch's own scans, else where the row was ingested from. A price whose size is null has an
unknown size: candles and published midpoints state none. A missing side has neither price nor size.
"""

FACTS = _columns({"source": pl.String}, tuple(name for name in MARKETS if name not in _QUOTED))
"""All other facts of a market, whenever they changed."""

PREDICTIONS = _columns(
    {
        "ticker": pl.String,
        "event_ticker": pl.String,
        "category": pl.String,
        "model": pl.String,
        "p": pl.Float64,
        "p_sd": pl.Float64,
        "p_bid": pl.Float64,
        "p_ask": pl.Float64,
        "asof": _TIME,
        "source": pl.String,
    }
)
"""A model's probability whenever it changed, and each hour, with the market's bid and ask at that instant."""

EDGES = _columns(
    {
        "change": pl.String,
        "reason": pl.String,
        "ticker": pl.String,
        "side": pl.String,
        "model": pl.String,
        "event_ticker": pl.String,
        "series_ticker": pl.String,
        "category": pl.String,
        "title": pl.String,
        "p": pl.Float64,
        "p_sd": pl.Float64,
        "price_u": pl.Int64,
        "fee_u": pl.Int64,
        "size_cc": pl.Int64,
        "edge_points": pl.Float64,
        "ev_u": pl.Int64,
        "ev_per_dollar": pl.Float64,
        "p_believed": pl.Float64,
        "belief_k": pl.Float64,
        "believed_ev_u": pl.Int64,
        "spread_percent": pl.Float64,
        "decided_ts": _TIME,
        "close_ts": _TIME,
        "suspect": pl.Boolean,
    }
)
"""An opportunity whenever it appeared, changed or was gone; `reason` is the funnel step that it failed then."""

SETTLEMENTS = _columns(
    {
        "ticker": pl.String,
        "event_ticker": pl.String,
        "result": pl.String,
        "payout_u": pl.Int64,
        "settled_ts": _TIME,
        "source": pl.String,
    }
)
"""A settlement: `payout_u` is what a YES contract paid. It is in between if `result` is neither yes nor no."""

SCANS = _columns(
    {
        "outcome": pl.String,
        "detail": pl.String,
        "started_ts": _TIME,
        "duration_s": pl.Float64,
        "complete": pl.Boolean,
        "listed": pl.Int64,
        "priced": pl.Int64,
        "kept": pl.Int64,
        "requests": pl.Int64,
        "retries": pl.Int64,
        "bytes": pl.Int64,
        "quarantined": pl.Int64,
        "problems": pl.Int64,
        "funnel": pl.String,
    }
)
"""One row per scan. `outcome` is done, incomplete, failed or paused; `funnel` is JSON."""

INPUTS = _columns(
    {
        "key": pl.String,
        "fetched_ts": _TIME,
        "known_ts": _TIME,
        "hash": pl.String,
        "bytes": pl.Int64,
        "error": pl.String,
        "body": pl.Binary,
    }
)
"""A payload that a model read, whenever it changed, by its logical `key`; known here from `known_ts` on.

`hash` is the SHA-256 of the body, `bytes` its size; `body` is stored only in the first row of a day with that hash.
A failed request has an `error` instead.
"""

TRADES = _columns(
    {
        "ticker": pl.String,
        "trade_id": pl.String,
        "created_ts": _TIME,
        "price_u": pl.Int64,
        "count_cc": pl.Int64,
        "taker_side": pl.String,
        "is_block": pl.Boolean,
        "source": pl.String,
    }
)
"""A trade, once; `price_u` is the price of YES. `trade_id` and `taker_side` are null where the source has none."""

DEPTH = _columns(
    {
        "ticker": pl.String,
        "side": pl.String,
        "price_u": pl.Int64,
        "size_cc": pl.Int64,
    }
)
"""A level of an order book at a scan: a bid for `side`, yes or no. An empty book has one row without a level."""

DAILY = _columns(
    {
        "ticker": pl.String,
        "day": pl.Date,
        "high_u": pl.Int64,
        "low_u": pl.Int64,
        "volume_cc": pl.Int64,
        "block_volume_cc": pl.Int64,
        "open_interest_cc": pl.Int64,
        "status": pl.String,
        "source": pl.String,
    }
)
"""A market's day from the exchange's daily files. `high_u` and `low_u` are prices of trades, not offers."""

COVERAGE = _columns(
    {
        "source": pl.String,
        "item": pl.String,
        "from_ts": _TIME,
        "to_ts": _TIME,
        "state": pl.String,
        "rows": pl.Int64,
        "bytes": pl.Int64,
        "hash": pl.String,
        "etag": pl.String,
        "batch": pl.String,
    }
)
"""What was ingested: `item` of `source` (a ticker, a file, a day) over `from_ts` to `to_ts`, whenever that changed.

`state` is done, empty, missing or failed; `hash` is the SHA-256 of the bytes, `batch` the files that hold the rows.
"""

OUTAGES = _columns({"ticker": pl.String, "cause": pl.String, "from_ts": _TIME, "until_ts": _TIME})
"""An interval in which a live watch had no current data of a market, recorded when it ended."""

Dataset = Literal[
    "quotes",
    "facts",
    "predictions",
    "edges",
    "settlements",
    "scans",
    "inputs",
    "trades",
    "depth",
    "daily",
    "coverage",
    "outages",
]
DATASETS: dict[str, pl.Schema] = {
    "quotes": QUOTES,
    "facts": FACTS,
    "predictions": PREDICTIONS,
    "edges": EDGES,
    "settlements": SETTLEMENTS,
    "scans": SCANS,
    "inputs": INPUTS,
    "trades": TRADES,
    "depth": DEPTH,
    "daily": DAILY,
    "coverage": COVERAGE,
    "outages": OUTAGES,
}
SORT_KEYS = dict.fromkeys(DATASETS, "ticker") | {"scans": "seen_ts", "inputs": "key", "coverage": "item"}
"""The column by which a file is sorted, so that few row groups must be read for one market or input."""
