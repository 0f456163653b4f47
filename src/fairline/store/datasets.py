"""What is kept of what was seen: the columns of each dataset of a store.

Every dataset begins with `seen_ts`, when it was recorded here: what was known at an instant is what had been recorded
by then, whatever the exchange says of when it happened. Units are those of `frame`.
"""

import polars as pl

from fairline.market.frame import MARKETS

VERSION = 1
"""Of the datasets' columns. Readers fill in columns that are not there yet, and refuse a later version."""

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
    """A dataset's own columns, and some of MARKETS."""
    taken = {name: pl.String() if name == "price_ranges" else MARKETS[name] for name in markets}
    return pl.Schema({"seen_ts": _TIME, **own, **taken})


QUOTES = _columns({"ticker": pl.String, "listed": pl.Boolean}, _QUOTED)
"""A market's quotes whenever they changed; `listed` is false for one that is not among those watched any more."""

FACTS = _columns({}, tuple(name for name in MARKETS if name not in _QUOTED))
"""What else the exchange says of a market, whenever that changed."""

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
    }
)
"""A model's probability whenever it changed, and each hour, with the market's own bid and ask at that instant."""

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
        "spread_percent": pl.Float64,
        "close_ts": _TIME,
        "suspect": pl.Boolean,
    }
)
"""An opportunity whenever it appeared, changed or was gone, the last with the step of the funnel as `reason`."""

SETTLEMENTS = _columns(
    {
        "ticker": pl.String,
        "event_ticker": pl.String,
        "result": pl.String,
        "payout_u": pl.Int64,
        "settled_ts": _TIME,
    }
)
"""How a market ended: `payout_u` is what a YES contract paid; with a result of neither yes nor no it is in between."""

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
"""The account of each scan. `outcome` is done, incomplete, failed or paused; `funnel` is JSON."""

DATASETS = {
    "quotes": QUOTES,
    "facts": FACTS,
    "predictions": PREDICTIONS,
    "edges": EDGES,
    "settlements": SETTLEMENTS,
    "scans": SCANS,
}
