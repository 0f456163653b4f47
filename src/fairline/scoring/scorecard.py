"""What was claimed against what came of it: flagged opportunities, and each model beside the market's own price.

Everything is of decided markets. An opportunity counts once, as it was when it first appeared: one contract bought at
the price, fee and probability of that moment. A model counts once a market too, at the first instant at which it had
priced it and there were a bid and an ask; the market's own opinion is their midpoint at that very instant.
"""

import math
from dataclasses import dataclass
from datetime import datetime

import polars as pl
from scipy.special import betaincinv

from fairline.scoring.metrics import Interval, clustered_mean, profits
from fairline.store.store import Store

_FLOOR = 1e-6
"""Probabilities nearer to 0 or 1 count as this in the log loss: one sure error must not outweigh everything."""
BINS = 10


@dataclass(frozen=True, slots=True)
class Flagged:
    """Opportunities of one kind: how many, how many are decided, and dollars a contract promised and realised."""

    what: str
    name: str
    flagged: int
    decided: int
    promised: Interval | None
    realised: Interval | None


@dataclass(frozen=True, slots=True)
class Judged:
    """A model beside the market: mean Brier score and log loss of each; a difference below 0: it is better."""

    model: str
    brier: Interval | None
    market_brier: Interval | None
    brier_difference: Interval | None
    log_loss: Interval | None
    market_log_loss: Interval | None
    log_loss_difference: Interval | None


@dataclass(frozen=True, slots=True)
class Scorecard:
    """`reliability`: `model, bin, n, p, frequency, low, high`, the interval of the frequency exact for independent
    markets (Clopper and Pearson, Biometrika 1934). `scalar` markets paid something in between and are left out of all
    but the money.
    """

    since: datetime | None
    flagged: list[Flagged]
    judged: list[Judged]
    reliability: pl.DataFrame
    decided: int
    scalar: int
    undecided: int


def read_scorecard(store: Store, since: datetime | None = None) -> Scorecard:
    """The scorecard of what was recorded after `since`. Raises `StoreError`."""
    settlements = store.read("settlements").unique("ticker", keep="last", maintain_order=True)
    return scorecard(store.read("edges", since=since), store.read("predictions", since=since), settlements, since)


def scorecard(
    edges: pl.DataFrame, predictions: pl.DataFrame, settlements: pl.DataFrame, since: datetime | None = None
) -> Scorecard:
    """Of EDGES, PREDICTIONS and SETTLEMENTS as they are in a store. Pure."""
    first = edges.filter(pl.col("change") == "appeared").sort("seen_ts", maintain_order=True)
    first = first.unique(["ticker", "side", "model"], keep="first", maintain_order=True)
    money = profits(first, settlements)
    judged = _judged(predictions, settlements)
    ours = pl.concat([first.select("ticker"), predictions.select("ticker")])
    settlements = settlements.join(ours, on="ticker", how="semi")
    binary = pl.col("result").is_in(["yes", "no"])
    names = sorted(judged["model"].unique())
    return Scorecard(
        since,
        [_flagged("all", "all", first, money), *_by("category", first, money), *_by("model", first, money)],
        [_judge(name, judged.filter(pl.col("model") == name)) for name in names],
        pl.concat([_reliability(name, judged.filter(pl.col("model") == name)) for name in names])
        if names else _reliability("", judged),
        settlements.filter(binary & pl.col("payout_u").is_not_null()).height,
        settlements.filter(~binary & pl.col("payout_u").is_not_null()).height,
        settlements.filter(pl.col("payout_u").is_null()).height,
    )  # fmt: skip


def _flagged(what: str, name: str, first: pl.DataFrame, money: pl.DataFrame) -> Flagged:
    promised, realised = clustered_mean(money, "promised"), clustered_mean(money, "realised")
    return Flagged(what, name, first.height, money.height, promised, realised)


def _by(column: str, first: pl.DataFrame, money: pl.DataFrame) -> list[Flagged]:
    names = first[column].drop_nulls().unique().sort().to_list()
    mine = pl.col(column)
    return [_flagged(column, name, first.filter(mine == name), money.filter(mine == name)) for name in names]


def _judged(predictions: pl.DataFrame, settlements: pl.DataFrame) -> pl.DataFrame:
    """One row a model and market decided YES or NO: `model, ticker, event_ticker, p, market, y` and the losses."""
    quoted = pl.col("p_bid").is_not_null() & pl.col("p_ask").is_not_null()
    first = predictions.filter(quoted).sort("seen_ts", maintain_order=True)
    first = first.unique(["model", "ticker"], keep="first", maintain_order=True)
    ended = settlements.filter(pl.col("result").is_in(["yes", "no"])).select(
        "ticker", y=(pl.col("result") == "yes").cast(pl.Float64)
    )
    made = first.join(ended, on="ticker", maintain_order="left").with_columns(
        market=(pl.col("p_bid") + pl.col("p_ask")) / 2
    )
    for name in ("p", "market"):
        p = pl.col(name).clip(_FLOOR, 1 - _FLOOR)
        loss = -(pl.col("y") * p.log() + (1 - pl.col("y")) * (1 - p).log())
        made = made.with_columns(((pl.col(name) - pl.col("y")) ** 2).alias(f"{name}_brier"), loss.alias(f"{name}_log"))
    return made.with_columns(
        brier=pl.col("p_brier") - pl.col("market_brier"), log=pl.col("p_log") - pl.col("market_log")
    )


def _judge(model: str, rows: pl.DataFrame) -> Judged:
    columns = ("p_brier", "market_brier", "brier", "p_log", "market_log", "log")
    return Judged(model, *(clustered_mean(rows, column) for column in columns))


def _reliability(model: str, rows: pl.DataFrame) -> pl.DataFrame:
    """What happened as often as was said? By tenths of the probability."""
    binned = rows.with_columns(bin=(pl.col("p") * BINS).floor().clip(0, BINS - 1).cast(pl.Int64))
    made = binned.group_by("bin").agg(
        n=pl.len().cast(pl.Int64), p=pl.col("p").mean(), frequency=pl.col("y").mean(), hits=pl.col("y").sum()
    ).sort("bin")  # fmt: skip
    n, hits = made["n"].to_numpy(), made["hits"].to_numpy()
    low = betaincinv(hits, n - hits + 1, 0.025) if len(n) else []
    high = betaincinv(hits + 1, n - hits, 0.975) if len(n) else []
    return made.select(
        pl.lit(model).alias("model"), "bin", "n", "p", "frequency",
        low=pl.Series(low, dtype=pl.Float64).fill_nan(0.0), high=pl.Series(high, dtype=pl.Float64).fill_nan(1.0),
    )  # fmt: skip


def scorecard_document(card: Scorecard) -> dict[str, object]:
    """The JSON of a scorecard: every figure with its n."""
    return {
        "since": card.since.isoformat() if card.since else None,
        "decided": card.decided,
        "scalar": card.scalar,
        "undecided": card.undecided,
        "flagged": [
            {"what": f.what, "name": f.name, "flagged": f.flagged, "decided": f.decided,
             "promised": _interval(f.promised), "realised": _interval(f.realised)}
            for f in card.flagged
        ],
        "models": [
            {name: getattr(j, name) if name == "model" else _interval(getattr(j, name)) for name in Judged.__slots__}
            for j in card.judged
        ],
        "reliability": card.reliability.to_dicts(),
    }  # fmt: skip


def _interval(made: Interval | None) -> dict[str, float | int | None] | None:
    """With a single event there is no interval: its ends are null."""
    if made is None:
        return None
    low, high = (None if math.isinf(end) else end for end in (made.low, made.high))
    return {"mean": made.mean, "low": low, "high": high, "n": made.n, "events": made.clusters}
