"""Compare promises with results: flagged opportunities, and each model beside the market's own price.

Only settled markets count. An opportunity counts once, as it first appeared: one contract bought at the price, fee and
probability of that instant. A model counts once per market, at the first instant at which it had priced the market and
both a bid and an ask existed; the market's own probability is their midpoint at that instant.
"""

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from fairline.scoring.metrics import Interval, clustered_mean, profits
from fairline.store.store import Store

LOG_LOSS_FLOOR = 1e-6
"""Log loss clips probabilities to at least this distance from 0 and 1: one certain error must not outweigh the rest."""
RELIABILITY_BINS = 10


@dataclass(frozen=True, slots=True)
class OpportunityScore:
    """Opportunities of one group: how many were flagged and are settled, and dollars per contract.

    `promised` is the believed EV, `claimed` the EV by the model's own probability, `realised` what was paid. `what` is
    all, category or model; `name` is which one.
    """

    what: str
    name: str
    flagged: int
    decided: int
    promised: Interval | None
    claimed: Interval | None
    realised: Interval | None


@dataclass(frozen=True, slots=True)
class ModelScore:
    """A model beside the market: mean Brier score and log loss of each. A difference below 0 means it was better."""

    model: str
    brier: Interval | None
    market_brier: Interval | None
    brier_difference: Interval | None
    log_loss: Interval | None
    market_log_loss: Interval | None
    log_loss_difference: Interval | None


@dataclass(frozen=True, slots=True)
class Scorecard:
    """Scores of opportunities and models.

    `reliability` has `model, bin, n, p, frequency, low, high`; the interval of the frequency is exact for independent
    markets (Clopper and Pearson, Biometrika 1934). `scalar` markets paid a value in between and count only as money.
    """

    since: datetime | None
    opportunities: list[OpportunityScore]
    models: list[ModelScore]
    reliability: pl.DataFrame
    decided: int
    scalar: int
    undecided: int


def read_scorecard(store: Store, since: datetime | None = None) -> Scorecard:
    """Return the scorecard of what was recorded after `since`. Raises `StoreError`."""
    settlements = store.read("settlements").unique("ticker", keep="last", maintain_order=True)
    edges = store.read("edges", since=since)
    return compute_scorecard(edges, store.read("predictions", since=since), settlements, since)


def compute_scorecard(
    edges: pl.DataFrame, predictions: pl.DataFrame, settlements: pl.DataFrame, since: datetime | None = None
) -> Scorecard:
    """Return the scorecard of EDGES, PREDICTIONS and SETTLEMENTS."""
    first = edges.filter(pl.col("change") == "appeared").sort("seen_ts", maintain_order=True)
    first = first.unique(["ticker", "side", "model"], keep="first", maintain_order=True)
    money = profits(first, settlements)
    losses = _losses(predictions, settlements)
    counted = pl.concat([first.select("ticker"), predictions.select("ticker")])
    settlements = settlements.join(counted, on="ticker", how="semi")
    is_binary = pl.col("result").is_in(["yes", "no"])
    has_payout = pl.col("payout_u").is_not_null()
    by_model = {name: losses.filter(pl.col("model") == name) for name in sorted(losses["model"].unique())}
    reliability = [_reliability(name, rows) for name, rows in by_model.items()]
    return Scorecard(
        since=since,
        opportunities=[
            _score_opportunities("all", "all", first, money),
            *_score_groups("category", first, money),
            *_score_groups("model", first, money),
        ],
        models=[_score_model(name, rows) for name, rows in by_model.items()],
        reliability=pl.concat(reliability) if reliability else _reliability("", losses),
        decided=settlements.filter(is_binary & has_payout).height,
        scalar=settlements.filter(~is_binary & has_payout).height,
        undecided=settlements.filter(~has_payout).height,
    )


def _score_opportunities(what: str, name: str, first: pl.DataFrame, money: pl.DataFrame) -> OpportunityScore:
    promised, claimed, realised = (clustered_mean(money, value) for value in ("promised", "claimed", "realised"))
    return OpportunityScore(what, name, first.height, money.height, promised, claimed, realised)


def _score_groups(column: str, first: pl.DataFrame, money: pl.DataFrame) -> list[OpportunityScore]:
    names = first[column].drop_nulls().unique().sort().to_list()
    group = pl.col(column)
    return [
        _score_opportunities(column, name, first.filter(group == name), money.filter(group == name)) for name in names
    ]


def _losses(predictions: pl.DataFrame, settlements: pl.DataFrame) -> pl.DataFrame:
    """Return one row per model and binary market: `model, ticker, event_ticker, p, market, y` and the losses."""
    quoted = pl.col("p_bid").is_not_null() & pl.col("p_ask").is_not_null()
    first = predictions.filter(quoted).sort("seen_ts", maintain_order=True)
    first = first.unique(["model", "ticker"], keep="first", maintain_order=True)
    outcomes = settlements.filter(pl.col("result").is_in(["yes", "no"])).select(
        "ticker", y=(pl.col("result") == "yes").cast(pl.Float64)
    )
    rows = first.join(outcomes, on="ticker", maintain_order="left")
    rows = rows.with_columns(market=(pl.col("p_bid") + pl.col("p_ask")) / 2)
    for name in ("p", "market"):
        p = pl.col(name).clip(LOG_LOSS_FLOOR, 1 - LOG_LOSS_FLOOR)
        log_loss = -(pl.col("y") * p.log() + (1 - pl.col("y")) * (1 - p).log())
        brier = (pl.col(name) - pl.col("y")) ** 2
        rows = rows.with_columns(brier.alias(f"{name}_brier"), log_loss.alias(f"{name}_log"))
    return rows.with_columns(
        brier=pl.col("p_brier") - pl.col("market_brier"), log=pl.col("p_log") - pl.col("market_log")
    )


def _score_model(model: str, losses: pl.DataFrame) -> ModelScore:
    columns = ("p_brier", "market_brier", "brier", "p_log", "market_log", "log")
    return ModelScore(model, *(clustered_mean(losses, column) for column in columns))


def _reliability(model: str, losses: pl.DataFrame) -> pl.DataFrame:
    """Return how often markets ended YES by tenths of the model's probability, with exact 95 % intervals."""
    from scipy.special import betaincinv

    bins = (pl.col("p") * RELIABILITY_BINS).floor().clip(0, RELIABILITY_BINS - 1).cast(pl.Int64)
    binned = losses.with_columns(bin=bins)
    counts = binned.group_by("bin").agg(
        n=pl.len().cast(pl.Int64), p=pl.col("p").mean(), frequency=pl.col("y").mean(), hits=pl.col("y").sum()
    )
    counts = counts.sort("bin")
    n = counts["n"].to_numpy()
    hits = counts["hits"].to_numpy()
    low = betaincinv(hits, n - hits + 1, 0.025) if len(n) else []
    high = betaincinv(hits + 1, n - hits, 0.975) if len(n) else []
    return counts.select(
        pl.lit(model).alias("model"),
        "bin",
        "n",
        "p",
        "frequency",
        low=pl.Series(low, dtype=pl.Float64).fill_nan(0.0),
        high=pl.Series(high, dtype=pl.Float64).fill_nan(1.0),
    )


def scorecard_document(card: Scorecard) -> dict[str, object]:
    """Return a scorecard as a JSON document: every figure with its n."""
    return {
        "since": card.since.isoformat() if card.since else None,
        "decided": card.decided,
        "scalar": card.scalar,
        "undecided": card.undecided,
        "flagged": [
            {
                "what": score.what,
                "name": score.name,
                "flagged": score.flagged,
                "decided": score.decided,
                "promised": _interval_document(score.promised),
                "claimed": _interval_document(score.claimed),
                "realised": _interval_document(score.realised),
            }
            for score in card.opportunities
        ],
        "models": [
            {
                name: getattr(score, name) if name == "model" else _interval_document(getattr(score, name))
                for name in ModelScore.__slots__
            }
            for score in card.models
        ],
        "reliability": card.reliability.to_dicts(),
    }


def _interval_document(interval: Interval | None) -> dict[str, float | int | None] | None:
    return None if interval is None else interval.as_document()
