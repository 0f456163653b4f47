"""How much of a model's disagreement with the price to believe.

With a model's probability p and the midpoint m of the quotes, the believed probability is

    q = m + g(p − m),   g(d) = sign(d)·min(k·|d|, cap),   0 ≤ k ≤ 1

k and the cap say how much of this model's disagreement came true so far in this category. They come from a record:
settled markets on which the model disagreed with the price (`scoring.records` fits them). Without a record k is 0 for
a built-in model and the user's trust (1 unless set) for a user's own table, plug-in or file.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import polars as pl

ANY_CATEGORY = "any"
MIN_EVENTS = 30
"""Events below which a record counts for nothing."""
CAUTIOUS_BELOW = 1_000
"""Events below which two standard errors are taken off an estimate instead of one."""
TRUST_EVENTS = 100
"""Events at which a record counts as much as the user's trust."""
BUILT_IN_MODELS = frozenset({
    "blend", "calibrated", "coherent", "consensus", "diffusion", "elo", "polls", "weather",
})  # fmt: skip

Source = Literal["store", "shipped", "trust", "none"]
"""Where a belief comes from: the user's store, the table that ships with Fairline, the user's trust, or nowhere."""


@dataclass(frozen=True, slots=True)
class Belief:
    """g for one model in one category, the standard error of k, and the events behind it (infinite and 0 without)."""

    k: float
    cap: float
    standard_error: float
    events: int
    source: Source

    def move(self, disagreement: float) -> float:
        """Return g(d): how far the believed probability lies from the midpoint."""
        return math.copysign(min(self.k * abs(disagreement), self.cap), disagreement)


NO_BELIEF = Belief(0.0, 0.0, math.inf, 0, "none")


@dataclass(frozen=True, slots=True)
class Record:
    """How much of a model's disagreement came true in one category.

    `estimate` is the fitted share, `k` what is believed of it (`believed_share`), `cap` the largest believed move in
    probability. `first_day` and `last_day` (ISO 8601) bound the settled markets; `data` and `command` say where a
    shipped record comes from.
    """

    model: str
    category: str
    k: float
    cap: float
    estimate: float
    standard_error: float
    events: int
    source: Source = "store"
    first_day: str = ""
    last_day: str = ""
    data: str = ""
    command: str = ""

    def belief(self) -> Belief:
        return Belief(self.k, self.cap, self.standard_error, self.events, self.source)


def believed_share(estimate: float, standard_error: float, events: int) -> float:
    """Return k: the estimate less z standard errors, within 0 and 1; z is 2 below 1,000 events, then 1.

    Below 30 events, where a clustered standard error means little, it is 0.
    """
    if events < MIN_EVENTS or not math.isfinite(standard_error):
        return 0.0
    z = 2.0 if events < CAUTIOUS_BELOW else 1.0
    return min(1.0, max(0.0, estimate - z * standard_error))


@dataclass(frozen=True)
class Beliefs:
    """The records of all models, and the user's trust in their own.

    If the store and the shipped table both have a record of a model in a category, the one with more events counts.
    """

    records: tuple[Record, ...] = ()
    trust: float = 1.0
    built_in: frozenset[str] = field(default=BUILT_IN_MODELS)

    def for_model(self, model: str, category: str | None) -> Belief:
        """Return the belief in a model in a category; the model's record for any category is used if it has no other.

        For a user's own model, k moves from the trust to the record's: (100·trust + n·k) / (100 + n) after n events.
        """
        record = self._by_name.get((model, category or ANY_CATEGORY)) or self._by_name.get((model, ANY_CATEGORY))
        if model in self.built_in:
            return record.belief() if record else NO_BELIEF
        if record is None:
            return Belief(self.trust, 1.0, math.inf, 0, "trust")
        k = (TRUST_EVENTS * self.trust + record.events * record.k) / (TRUST_EVENTS + record.events)
        cap = record.cap if record.events >= MIN_EVENTS else 1.0
        return Belief(k, cap, record.standard_error, record.events, record.source)

    def table(self, pairs: Iterable[tuple[str | None, str | None]]) -> pl.DataFrame:
        """Return `{model, category, belief_k, belief_cap, belief_events, belief_source}` for pairs of names."""
        rows = [
            (model, category, belief.k, belief.cap, belief.events, belief.source)
            for model, category in pairs
            if model is not None
            for belief in [self.for_model(model, category)]
        ]
        return pl.DataFrame(rows, schema=_TABLE, orient="row")

    @cached_property
    def _by_name(self) -> Mapping[tuple[str, str], Record]:
        return {(r.model, r.category): r for r in sorted(self.records, key=lambda record: record.events)}


_TABLE: dict[str, type[pl.DataType]] = {
    "model": pl.String,
    "category": pl.String,
    "belief_k": pl.Float64,
    "belief_cap": pl.Float64,
    "belief_events": pl.Int64,
    "belief_source": pl.String,
}


def believed_probability(p: pl.Expr, p_mid: pl.Expr) -> pl.Expr:
    """Return q from p, the midpoint and the columns `belief_k` and `belief_cap`; null where one of them is."""
    disagreement = p - p_mid
    # Not `min_horizontal`, which ignores nulls.
    scaled = pl.col("belief_k") * disagreement.abs()
    move = pl.when(scaled <= pl.col("belief_cap")).then(scaled).otherwise(pl.col("belief_cap"))
    return (p_mid + disagreement.sign() * move).clip(0.0, 1.0)
