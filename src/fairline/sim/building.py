"""How a world is drawn from its seed: series, events, and the columns of their markets."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from fairline.sim import quotes
from fairline.sim.columns import FINALIZED, INACTIVE, INITIALIZED, Columns, in_paging_order, without_quotes
from fairline.sim.families import COMBO, ENDINGS, FAMILIES, GRID_NAMES, SYLLABLES, Family
from fairline.sim.outcomes import Outcomes, draw_outcomes

DAY_US = 86_400_000_000
_SCALAR_INTERVAL = 12
"""One in this many events with a single question pays a scalar amount between nothing and a dollar."""
_MISQUOTED_SHARE = 0.08
"""Share of events whose quotes are far from the truth."""
_FEE_OVERRIDE_SHARE = 0.006


@dataclass(slots=True)
class SeriesState:
    """A series and the family it belongs to."""

    ticker: str
    family: Family


@dataclass(slots=True)
class EventState:
    """An event. `ends_us` is when it is decided, `close_us` the close time that its markets show until then."""

    ticker: str
    series: int
    title: str
    sub_title: str
    kind: str
    ends_us: int
    close_us: int
    exclusive: bool
    scalar: bool = False
    fee_override: tuple[str, float] | None = None
    rows: list[int] = field(default_factory=list)


class Builder:
    """Draws events and their markets. `events` and `series` grow as it builds."""

    def __init__(self, now: datetime, arrivals: int, arrival_us: float) -> None:
        self.series = [SeriesState(f"{f.series}{suffix}", f) for f in FAMILIES for suffix in ("", "B", "C")]
        self.events: list[EventState] = []
        self._now = now
        self._now_us = int(now.timestamp() * 1e6)
        self._arrivals = arrivals
        self._arrival_us = arrival_us

    def build(self, markets: int, rng: np.random.Generator) -> Columns:
        """Draw events until there are `markets` open markets, a few that are not open, and the arrivals."""
        weights = np.repeat([f.weight for f in FAMILIES], 3) * np.tile([0.6, 0.25, 0.15], len(FAMILIES))
        resting = max(1, markets // 50)
        wanted = markets + resting + self._arrivals
        drawn: list[Outcomes] = []
        count = 0
        while count < wanted:
            for series in rng.choice(len(self.series), size=256, p=weights / weights.sum()):
                drawn.append(self._draw_event(int(series), wanted - count, rng))
                count += len(drawn[-1].labels)
                if count >= wanted:
                    break
        columns = self._lay_out(drawn, rng, first_event=0)
        quotes.draw_first(columns, rng.random(len(self.events)) < _MISQUOTED_SHARE, rng)
        self._rest(columns, resting, rng)
        self.series.append(SeriesState(COMBO.series, COMBO))
        return columns

    def build_past(self, markets: int, rng: np.random.Generator) -> Columns:
        """Draw events with `markets` markets that ended within the last 200 days."""
        first_event = len(self.events)
        drawn: list[Outcomes] = []
        count = 0
        while count < markets:
            ended = self._now - timedelta(days=float(rng.uniform(0.05, 200)))
            drawn.append(self._draw_event(int(rng.integers(len(FAMILIES) * 3)), markets - count, rng, ended))
            count += len(drawn[-1].labels)
        columns = self._lay_out(drawn, rng, first_event)
        columns.status[:] = FINALIZED
        columns.close_us[:] = columns.ends_us
        columns.volume[:] = (rng.lognormal(6, 2.2, count) * 100).astype(np.int64)
        return columns

    def _rest(self, columns: Columns, count: int, rng: np.random.Generator) -> None:
        """Make some listed markets unavailable for trading: not yet open, or paused."""
        rows = rng.choice(np.flatnonzero(columns.created_us <= self._now_us), size=count, replace=False)
        unopened = rng.random(count) < 0.7
        columns.status[rows] = np.where(unopened, INITIALIZED, INACTIVE)
        opens = self._now_us + (columns.ends_us[rows] - self._now_us) * rng.uniform(0.1, 0.9, count)
        columns.open_us[rows] = np.where(unopened, opens, columns.open_us[rows])
        # Markets in which trading has not begun have neither quotes nor trades.
        for name in ("bid", "ask", "bid_size", "ask_size", "last", "volume", "volume_24h", "open_interest"):
            getattr(columns, name)[rows[unopened]] = 0

    def _draw_event(self, series: int, room: int, rng: np.random.Generator, ends: datetime | None = None) -> Outcomes:
        """Add one event of a series with at most `room` markets, and return the outcomes of its markets."""
        family = self.series[series].family
        size = max(1, min(_draw_size(family, rng), room))
        ends = ends or self._now + timedelta(days=float(rng.uniform(*family.days)))
        number = len(self.events)
        home, away = _draw_name(rng), _draw_name(rng)
        ticker = f"{self.series[series].ticker}-{ends:%y%b%d}".upper() + f"{home[:3]}{number:X}".upper()
        ends_us = int(ends.timestamp() * 1e6)
        event = EventState(
            ticker=ticker,
            series=series,
            title=family.title.format(a=away, b=home, n=number % 53 + 1),
            sub_title=f"{ends:%b %d, %Y}",
            kind=family.kind,
            ends_us=ends_us,
            close_us=ends_us + int(family.closes_late_days * DAY_US),
            exclusive=family.kind in ("game", "partition", "buckets"),
            scalar=family.kind == "binary" and number % _SCALAR_INTERVAL == 0,
            fee_override=("quadratic", 0.5) if rng.random() < _FEE_OVERRIDE_SHARE else None,
        )
        self.events.append(event)
        return draw_outcomes(family, size, (away, home), rng)

    def _lay_out(self, drawn: list[Outcomes], rng: np.random.Generator, first_event: int) -> Columns:
        """Concatenate the markets of the events from `first_event` on, and put them into paging order."""
        events = self.events[first_event:]
        event = np.repeat(np.arange(len(drawn), dtype=np.int32), [len(outcomes.labels) for outcomes in drawn])
        n = len(event)
        created = self._created_us(drawn, event, rng, may_arrive=first_event == 0)
        codes = _chain(outcomes.codes for outcomes in drawn)
        ends = np.array([e.ends_us for e in events], dtype=np.int64)
        closes = np.array([e.close_us for e in events], dtype=np.int64)
        grid_of = np.array([GRID_NAMES.index(s.family.grid) for s in self.series], dtype=np.int8)
        series_of = np.array([e.series for e in events])

        def stack(name: str) -> NDArray[np.float64]:
            stacked: NDArray[np.float64] = np.concatenate([getattr(outcomes, name) for outcomes in drawn])
            return stacked

        columns = Columns(
            ticker=[f"{events[e].ticker}-{code}" for e, code in zip(event, codes, strict=True)],
            event=event + np.int32(first_event),
            label=_chain(outcomes.labels for outcomes in drawn),
            floor=stack("floor"),
            cap=stack("cap"),
            strike=_chain(outcomes.strikes for outcomes in drawn),
            subject=np.array([s for outcomes in drawn for s in outcomes.subjects], dtype=np.int16),
            created_us=created,
            open_us=np.where(created > self._now_us, created, created + 600_000_000),
            close_us=closes[event],
            ends_us=ends[event],
            lo=stack("lo"),
            hi=stack("hi"),
            grid=grid_of[series_of[event]],
            **without_quotes(n),
        )
        ordered, previous = in_paging_order(columns)
        for row, e in enumerate(event[previous].tolist()):
            events[e].rows.append(row)
        return ordered

    def _created_us(
        self, drawn: list[Outcomes], event: NDArray[np.int32], rng: np.random.Generator, *, may_arrive: bool
    ) -> NDArray[np.int64]:
        """Draw when markets were listed.

        Events are listed in batches (a day's games, an hour's ladders), long-running events earlier. The last events
        are the arrivals, which are listed after the world has begun.
        """
        ends = np.array([e.ends_us for e in self.events[-len(drawn) :]], dtype=np.int64)
        sizes = np.array([len(outcomes.labels) for outcomes in drawn])
        days_ahead = np.maximum(np.abs(ends - self._now_us) / DAY_US, 0.05)
        age_days = np.minimum(rng.exponential(np.minimum(days_ahead, 90)), 400)
        batch = np.unique(rng.integers(0, 400 * 24, size=max(2, len(drawn) // 12)))
        hours = batch[np.clip(np.searchsorted(batch, age_days * 24), 0, len(batch) - 1)]
        listed = (
            np.minimum(ends, self._now_us)
            - (hours * 3_600_000_000).astype(np.int64)
            - rng.integers(60_000_000, 600_000_000, len(drawn))
        )
        arriving = (np.cumsum(sizes[::-1])[::-1] <= self._arrivals) & may_arrive
        listed[arriving] = self._now_us + rng.integers(0, max(1, int(self._arrival_us)), int(arriving.sum()))
        within = np.concatenate([np.arange(size) for size in sizes])
        created: NDArray[np.int64] = listed[event] + within * 1_370 + rng.integers(0, 1_000, len(event))
        return created


def _draw_size(family: Family, rng: np.random.Generator) -> int:
    median, most = family.size
    return median if median == most else int(np.clip(rng.lognormal(np.log(median), 0.6), 2, most))


def _draw_name(rng: np.random.Generator) -> str:
    return (SYLLABLES[rng.integers(len(SYLLABLES))] + ENDINGS[rng.integers(len(ENDINGS))]).capitalize()


def _chain(lists: Iterable[list[str]]) -> list[str]:
    return [item for part in lists for item in part]
