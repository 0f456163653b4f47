"""The simulated exchange's state: a seeded world of series, events and markets with hidden true probabilities.

Every event has one hidden uniform number u; a market settles YES exactly if u falls into its interval [lo, hi), so its
true probability is hi − lo and outcomes within an event hang together by construction: intervals side by side make a
partition, nested ones a ladder. Prices are integers in 1/10,000 dollar, sizes in 1/100 contract, times in microseconds.

Rows are kept in the order in which the exchange pages: created time descending, then ticker.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from fairline.sim import quotes
from fairline.sim.columns import ACTIVE, Columns, append, in_paging_order, unquoted
from fairline.sim.combos import Combos
from fairline.sim.families import COMBO, ENDINGS, FAMILIES, GRID_NAMES, SYLLABLES, Family
from fairline.sim.life import Life, Step
from fairline.sim.outcomes import Outcomes, outcomes

STATUSES = ("initialized", "active", "inactive", "closed", "determined", "finalized")
INITIALIZED, INACTIVE, CLOSED, DETERMINED, FINALIZED = 0, 2, 3, 4, 5
UNIT = 10_000
DAY_US = 86_400_000_000
_SCALAR_EVERY = 12
"""Of the events with a single question every so manieth pays between nothing and a dollar."""
DETERMINE_US, SETTLE_US = 60_000_000, 360_000_000
"""How long after its close a market of a living world has a result, and is paid."""


@dataclass(slots=True)
class SeriesState:
    ticker: str
    family: Family


@dataclass(slots=True)
class EventState:
    ticker: str
    series: int
    title: str
    sub_title: str
    kind: str
    close_us: int
    exclusive: bool
    scalar: bool = False
    fee_override: tuple[str, float] | None = None
    rows: list[int] = field(default_factory=list)


class World:
    """A seeded exchange with `markets` open single-outcome markets (and some that are not open yet or paused).

    Beside them `combos` parlays on several of them, and about `arrivals` more that are listed within `arrival_hours` of
    world time, which runs `speed` times as fast as the clock. `bid` and `ask` of 0 mean that the side is empty.
    `result` is -1 until settled, then 0 (NO) or 1 (YES).

    With `moves` a market and hour it lives: quotes move, trades print, and what has closed is determined and settled.
    Without, only the clock opens and closes markets, so that a test knows what it will be sent. A few events (`past`
    markets) ended within the last 200 days.
    """

    def __init__(
        self,
        markets: int,
        *,
        combos: int = 0,
        arrivals: int = 0,
        arrival_hours: float = 1.0,
        speed: float = 1.0,
        moves: float = 0.0,
        past: int | None = None,
        seed: int = 0,
        now: datetime | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.now = now or datetime.now(UTC)
        self.seed = seed
        self.speed = speed
        self._clock, self._began = clock, clock()
        self._rng = np.random.default_rng(seed)
        self._arrivals, self._arrival_us = arrivals, arrival_hours * 3.6e9
        self._error: NDArray[np.float64]
        self.series: list[SeriesState] = []
        self.events: list[EventState] = []
        self.columns = self._build(markets)
        self._remember(markets // 20 if past is None else past)
        self.legs = Combos(self.columns, combos, self._rng, self.now)
        if combos:
            self.columns, before = in_paging_order(append(self.columns, self.legs.columns))
            self.legs.moved(before)
            after = np.empty_like(before)
            after[before] = np.arange(len(before))
            for event in self.events:
                event.rows = after[event.rows].tolist()
            self._error = np.append(self._error, np.zeros(combos))[before]
        # What will become of each event is fixed from the start: one draw decides all of its markets.
        self._draws = np.random.default_rng((seed, 2)).random(len(self.events))
        self._decide(np.flatnonzero(self.columns.status == FINALIZED))
        self.settled_us = self.columns.close_us + SETTLE_US
        self.life = Life(self.columns, self._error, self.now_us, moves, seed)
        self.row = {ticker: i for i, ticker in enumerate(self.columns.ticker)}
        self._due_us = 0
        self._listed = self.first
        self.tick()

    @property
    def truth(self) -> NDArray[np.float64]:
        """The hidden probability of each market."""
        return self.columns.hi - self.columns.lo

    @property
    def now_us(self) -> int:
        """The world's time."""
        return int(self.now.timestamp() * 1e6 + (self._clock() - self._began) * self.speed * 1e6)

    @property
    def first(self) -> int:
        """The newest row that is listed by now."""
        return int(np.searchsorted(-self.columns.created_us, -self.now_us, side="left"))

    def payout(self, row: int) -> int:
        """What a YES contract of a market with a result pays, in 1/10,000 dollar: a scalar one half of what is expected
        and half of all or nothing, which is worth its hidden probability too.
        """
        all_or_nothing = UNIT * int(self.columns.result[row])
        if not self.is_scalar(row):
            return all_or_nothing
        return (round(float(self.truth[row]) * UNIT) + all_or_nothing) // 2

    def is_scalar(self, row: int) -> bool:
        event = int(self.columns.event[row])
        return event >= 0 and self.events[event].scalar

    def tick(self) -> None:
        """Let happen what is due by now."""
        now, columns, first = self.now_us, self.columns, self.first
        for row in range(first, self._listed):
            self.life.note(Step(now, row, "created"))
        self._listed = first
        self.life.advance(now)
        if now < self._due_us:
            return
        opening = np.flatnonzero((columns.status == INITIALIZED) & (columns.open_us <= now))
        columns.status[opening] = ACTIVE
        self.life.open(opening, now)
        traded = (columns.status == ACTIVE) | (columns.status == INACTIVE)
        closing = np.flatnonzero(traded & (columns.close_us <= now))
        columns.status[closing] = CLOSED
        self.life.empty(closing, now)
        columns.revision[opening] += 1
        columns.revision[closing] += 1
        open_now = (columns.status == ACTIVE) | (columns.status == INACTIVE)
        later = [columns.close_us[open_now], columns.open_us[(columns.status == INITIALIZED)]]
        if self.life.moves:
            later += [self._end(CLOSED, DETERMINE_US, now), self._end(DETERMINED, SETTLE_US, now)]
        self._due_us = min((int(times.min()) for times in later if len(times)), default=2**62)

    def settle(self) -> None:
        """Close every open market that is listed and settle it, at once."""
        columns, now = self.columns, self.now_us
        traded = np.flatnonzero(np.isin(columns.status, (ACTIVE, INACTIVE, CLOSED, DETERMINED)))
        rows = traded[traded >= self.first]
        self.life.empty(rows, now)
        self._decide(rows)
        columns.status[rows] = FINALIZED
        columns.revision[rows] += 1
        self.settled_us[rows] = now
        for row in rows.tolist():
            self.life.note(Step(now, row, "settled"))

    def _end(self, status: int, after_us: int, now_us: int) -> NDArray[np.int64]:
        """Take what closed so long ago a step on: to its result, or to being paid. When the others are due."""
        columns = self.columns
        rows = np.flatnonzero(columns.status == status)
        due = columns.close_us[rows] + after_us
        ready = rows[due <= now_us]
        if status == CLOSED:
            self._decide(ready)
        columns.status[ready] = DETERMINED if status == CLOSED else FINALIZED
        columns.revision[ready] += 1
        for row, due_us in zip(ready.tolist(), due[due <= now_us].tolist(), strict=True):
            self.life.note(Step(due_us, row, "determined" if status == CLOSED else "settled"))
        # Whatever was determined just now is due for settlement later.
        return (
            due[due > now_us]
            if status == DETERMINED
            else np.append(due[due > now_us], due[due <= now_us] - after_us + SETTLE_US)
        )

    def _decide(self, rows: NDArray[np.int64]) -> None:
        """Give markets their result: by the event's draw, and a combo wins if all of its legs do."""
        columns = self.columns
        single = rows[columns.event[rows] >= 0]
        draw = self._draws[columns.event[single]]
        columns.result[single] = (columns.lo[single] <= draw) & (draw < columns.hi[single])
        for row in rows[columns.event[rows] < 0].tolist():
            legs = np.array(self.legs.of(row))
            draws = self._draws[columns.event[legs]]
            columns.result[row] = bool(((columns.lo[legs] <= draws) & (draws < columns.hi[legs])).all())

    def _remember(self, markets: int) -> None:
        """Add events that ended before the world began, by a generator of their own: they change nothing else."""
        if not markets:
            return
        usual, self._rng = self._rng, np.random.default_rng((self.seed, 1))
        known, live = len(self.events), self.columns
        parts, made = [], 0
        while made < markets:
            ended = self.now - timedelta(days=float(self._rng.uniform(0.05, 200)))
            parts.append(self._event(int(self._rng.integers(len(FAMILIES) * 3)), markets - made, ended))
            made += len(parts[-1].labels)
        columns = self._columns(parts, made, known)
        columns.status[:] = FINALIZED
        columns.volume[:] = (self._rng.lognormal(6, 2.2, made) * 100).astype(np.int64)
        self._rng = usual
        self.columns, before = in_paging_order(append(live, columns))
        after = np.empty_like(before)
        after[before] = np.arange(len(before))
        for number, event in enumerate(self.events):
            shift = len(live.ticker) if number >= known else 0
            event.rows = after[np.array(event.rows) + shift].tolist()
        self._error = np.append(self._error, np.zeros(made))[before]

    def _build(self, markets: int) -> Columns:
        rng = self._rng
        self.series = [SeriesState(f"{f.series}{suffix}", f) for f in FAMILIES for suffix in ("", "B", "C")]
        weights = np.repeat([f.weight for f in FAMILIES], 3) * np.tile([0.6, 0.25, 0.15], len(FAMILIES))
        parts: list[Outcomes] = []
        extra = max(1, markets // 50)
        wanted = markets + extra + self._arrivals
        made = 0
        while made < wanted:
            choice = rng.choice(len(self.series), size=256, p=weights / weights.sum())
            for series in choice:
                rows = self._event(int(series), wanted - made)
                parts.append(rows)
                made += len(rows.labels)
                if made >= wanted:
                    break
        columns = self._columns(parts, wanted)
        self._error = quotes.first(columns, rng.random(len(self.events)) < 0.08, rng)
        self._rest(columns, extra)
        self.series.append(SeriesState(COMBO.series, COMBO))
        return columns

    def _rest(self, columns: Columns, count: int) -> None:
        """Let some of the listed markets not be open for trading: not yet opened, or paused."""
        rng, now_us = self._rng, self.now.timestamp() * 1e6
        rows = rng.choice(np.flatnonzero(columns.created_us <= now_us), size=count, replace=False)
        unopened = rng.random(count) < 0.7
        columns.status[rows] = np.where(unopened, INITIALIZED, INACTIVE)
        opens = now_us + (columns.close_us[rows] - now_us) * rng.uniform(0.1, 0.9, count)
        columns.open_us[rows] = np.where(unopened, opens, columns.open_us[rows])
        # Where trading has not begun there is nothing to see.
        for values in (columns.bid, columns.ask, columns.bid_size, columns.ask_size, columns.last, columns.volume):
            values[rows[unopened]] = 0
        columns.volume_24h[rows[unopened]] = columns.open_interest[rows[unopened]] = 0

    def _name(self) -> str:
        rng = self._rng
        return (SYLLABLES[rng.integers(len(SYLLABLES))] + ENDINGS[rng.integers(len(ENDINGS))]).capitalize()

    def _event(self, series: int, room: int, close: datetime | None = None) -> Outcomes:
        """Make one event of a series with at most `room` markets, and the rows of its markets."""
        rng, family = self._rng, self.series[series].family
        median, cap = family.size
        size = median if median == cap else int(np.clip(rng.lognormal(np.log(median), 0.6), 2, cap))
        size = max(1, min(size, room))
        low, high = family.days
        close = close or self.now + timedelta(days=float(rng.uniform(low, high)))
        number = len(self.events)
        home, away = self._name(), self._name()
        ticker = f"{self.series[series].ticker}-{close:%y%b%d}".upper() + f"{home[:3]}{number:X}".upper()
        self.events.append(
            EventState(
                ticker=ticker,
                series=series,
                title=family.title.format(a=away, b=home, n=number % 53 + 1),
                sub_title=f"{close:%b %d, %Y}",
                kind=family.kind,
                close_us=int(close.timestamp() * 1e6),
                exclusive=family.kind in ("game", "partition", "buckets"),
                scalar=family.kind == "binary" and number % _SCALAR_EVERY == 0,
                fee_override=("quadratic", 0.5) if rng.random() < 0.006 else None,
            )
        )
        return outcomes(family, size, (away, home), rng)

    def _columns(self, parts: list[Outcomes], n: int, known: int = 0) -> Columns:
        """Lay the rows of the events after the first `known` end to end, then put them into the exchange's order."""
        rng, events = self._rng, self.events[known:]
        sizes = np.array([len(part.labels) for part in parts])
        event = np.repeat(np.arange(len(parts), dtype=np.int32), sizes)
        now_us = int(self.now.timestamp() * 1e6)
        close = np.array([e.close_us for e in events], dtype=np.int64)
        # Events are listed in batches (a whole day's games, a whole hour's ladders at once), long-running ones earlier.
        ahead = np.maximum(np.abs(close - now_us) / DAY_US, 0.05)
        age = np.minimum(rng.exponential(np.minimum(ahead, 90)), 400)
        batch = np.unique(rng.integers(0, 400 * 24, size=max(2, len(parts) // 12)))
        hours = batch[np.clip(np.searchsorted(batch, age * 24), 0, len(batch) - 1)]
        listed = (
            np.minimum(close, now_us)
            - (hours * 3_600_000_000).astype(np.int64)
            - rng.integers(60_000_000, 600_000_000, len(parts))
        )
        coming = (np.cumsum(sizes[::-1])[::-1] <= self._arrivals) & (known == 0)
        listed[coming] = now_us + rng.integers(0, max(1, int(self._arrival_us)), int(coming.sum()))
        within = np.concatenate([np.arange(size) for size in sizes])
        created = listed[event] + within * 1_370 + rng.integers(0, 1_000, n)
        ticker = [f"{events[e].ticker}-{code}" for e, code in zip(event, _chain(p.codes for p in parts), strict=True)]
        label, strike = _chain(p.labels for p in parts), _chain(p.strikes for p in parts)

        def stack(name: str) -> NDArray[np.float64]:
            stacked: NDArray[np.float64] = np.concatenate([getattr(part, name) for part in parts])
            return stacked

        grid_of = np.array([GRID_NAMES.index(s.family.grid) for s in self.series], dtype=np.int8)
        series_of = np.array([e.series for e in events])
        laid = Columns(
            ticker=ticker,
            event=event + np.int32(known),
            label=label,
            floor=stack("floor"),
            cap=stack("cap"),
            strike=strike,
            created_us=created,
            open_us=np.where(created > now_us, created, created + 600_000_000),
            close_us=close[event],
            lo=stack("lo"),
            hi=stack("hi"),
            grid=grid_of[series_of[event]],
            **unquoted(n),
        )
        ordered, before = in_paging_order(laid)
        for row, e in enumerate(event[before].tolist()):
            events[e].rows.append(row)
        return ordered


def _chain(lists: Iterable[list[str]]) -> list[str]:
    return [item for part in lists for item in part]
