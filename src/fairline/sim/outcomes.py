"""How the outcomes of an event depend on each other.

Each event has one hidden number in [0, 1). A market settles YES if the number falls into the market's interval, so the
width of the interval is the market's true probability.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairline.sim.families import ENDINGS, SYLLABLES, Family
from fairline.sim.quotes import sigmoid

Floats = NDArray[np.float64]
Teams = tuple[str, str]
"""Names of the away and the home team."""


@dataclass(slots=True)
class Outcomes:
    """The markets of one event: ticker codes, labels, strikes, and the interval [lo, hi) in which each wins.

    `subjects` numbers the team or player of each market within its event, -1 where there is none.
    """

    codes: list[str]
    labels: list[str]
    strikes: list[str]
    floor: Floats
    cap: Floats
    lo: Floats
    hi: Floats
    subjects: list[int]


def draw_outcomes(family: Family, size: int, teams: Teams, rng: np.random.Generator) -> Outcomes:
    """Draw `size` markets of one event.

    The last event of a world may have room for only one market, which then becomes a single question.
    """
    if size == 1 and family.kind not in ("game", "deadline"):
        return _independent(size, rng)
    if family.kind in ("game", "spread"):
        draw = {"game": _game, "spread": _spread}[family.kind]
        return draw(family, size, teams, rng) if size > 1 else _independent(size, rng)
    if family.kind in _NUMERIC:
        return _NUMERIC[family.kind](family, size, rng)
    return {"deadline": _deadline, "partition": _partition}.get(family.kind, _independent)(size, rng)


def _deadline(size: int, rng: np.random.Generator) -> Outcomes:
    labels = [f"Before Month {number}" for number in range(1, size + 1)]
    codes = [f"M{number}" for number in range(1, size + 1)]
    return _without_strikes(codes, labels, "custom", np.zeros(size), np.sort(rng.beta(0.9, 1.6, size)))


def _independent(size: int, rng: np.random.Generator) -> Outcomes:
    p = rng.beta(0.7, 1.3, size)
    lo = rng.random(size) * (1 - p)
    labels = [f"{SYLLABLES[i % 20].capitalize()}{ENDINGS[i // 20 % 10]}" for i in range(size)]
    codes = [f"{label[:4].upper()}{i}" for i, label in enumerate(labels)]
    return _without_strikes(codes, labels, "custom", lo, lo + p)


def _game(family: Family, size: int, teams: Teams, rng: np.random.Generator) -> Outcomes:
    edges = np.concatenate([[0.0], np.cumsum(rng.dirichlet(np.full(size, 4.0)))])
    edges[-1] = 1.0
    labels = [*teams, "Tie"][:size]
    return _without_strikes(_short_codes(labels), labels, "structured", edges[:-1], edges[1:])


def _partition(size: int, rng: np.random.Generator) -> Outcomes:
    share = rng.dirichlet(0.35 + 3.0 / np.arange(1, size + 1)) * rng.uniform(0.94, 1.0)
    edges = np.concatenate([[0.0], np.cumsum(share)])
    labels = [
        f"{SYLLABLES[(7 * i) % 20].capitalize()} {ENDINGS[(3 * i + i // 20) % 10].capitalize()}" for i in range(size)
    ]
    return _without_strikes(_short_codes(labels), labels, "structured", edges[:-1], edges[1:])


def _spread(family: Family, size: int, teams: Teams, rng: np.random.Generator) -> Outcomes:
    """Draw "team wins by over N" for both teams, from one logistic margin (home minus away)."""
    home_count = (size + 1) // 2
    counts = np.array([home_count, size - home_count])
    margins: Floats = np.concatenate(
        [family.start + family.step * np.arange(count, dtype=np.float64) for count in counts]
    )
    home = np.repeat([True, False], counts)
    middle, spread = rng.normal(0, 4), family.step * size / 2 / rng.uniform(2, 4)
    below = sigmoid((np.where(home, margins, -margins) - middle) / spread * 1.7)
    subjects = np.where(home, 1, 0).tolist()
    labels = [
        f"{teams[subject]} wins by over {margin:g} {family.unit}"
        for subject, margin in zip(subjects, margins, strict=True)
    ]
    codes = [f"{_initials(teams, s)}{int(m + 1)}" for s, m in zip(subjects, margins, strict=True)]
    # The home team covers where the hidden number is high, the away team where it is low.
    lo = np.where(home, below, 0.0)
    hi = np.where(home, 1.0, below)
    return Outcomes(codes, labels, ["greater"] * size, margins, np.full(size, np.nan), lo, hi, subjects)


def _initials(teams: Teams, subject: int) -> str:
    """Return three letters of a team, distinct from the other team's."""
    names = [team[:3].upper() for team in teams]
    return names[subject] if names[0] != names[1] else f"{names[subject]}{'AH'[subject]}"


def _props(family: Family, size: int, rng: np.random.Generator) -> Outcomes:
    """Draw "player: over N" for several players, each with a short ladder of strikes."""
    players = max(1, round(size / 4))
    subjects = np.sort(np.arange(size) % players)
    rank = np.arange(size) - np.searchsorted(subjects, subjects)
    floor: Floats = (family.start + family.step * rank).astype(np.float64)
    middle = family.start + family.step * rng.uniform(0, 4, players)[subjects]
    below: Floats = sigmoid((floor - middle) / (family.step * rng.uniform(0.8, 2.5, players)[subjects]) * 1.7)
    # Players alternate between the two ends of the hidden number, so that one does well as another does badly.
    upper = subjects % 2 == 0
    lo, hi = np.where(upper, below, 0.0), np.where(upper, 1.0, 1 - below)
    names = [f"{SYLLABLES[i % 20].capitalize()} {ENDINGS[i // 20 % 10].capitalize()}" for i in range(players)]
    labels = [f"{names[s]}: over {strike:g} {family.unit}" for s, strike in zip(subjects, floor, strict=True)]
    codes = [f"{names[s][:3].upper()}{s}-{int(strike + 1)}" for s, strike in zip(subjects, floor, strict=True)]
    nothing = np.full(size, np.nan)
    return Outcomes(codes, labels, ["greater"] * size, floor, nothing, lo, hi, subjects.tolist())


def _ladder(family: Family, size: int, rng: np.random.Generator) -> Outcomes:
    strikes, below = _strikes(family, size, rng)
    labels = [f"Above {_amount(strike, family.unit)}" for strike in strikes]
    codes = [f"T{strike:g}" for strike in strikes]
    nothing = np.full(size, np.nan)
    return Outcomes(codes, labels, ["greater"] * size, strikes, nothing, below, np.ones(size), [-1] * size)


def _buckets(family: Family, size: int, rng: np.random.Generator) -> Outcomes:
    strikes, below = _strikes(family, size, rng)
    edges = np.concatenate([[0.0], below[1:], [1.0]])
    floor = strikes.copy()
    cap = np.round(strikes + family.step - 0.01, 4)
    kinds = ["less", *["between"] * (size - 2), "greater"]
    cap[0], floor[0] = strikes[1], np.nan
    floor[-1], cap[-1] = np.round(strikes[-1] - 0.01, 4), np.nan
    labels = [f"{_amount(s, family.unit)} to {_amount(s + family.step, family.unit)}" for s in strikes]
    codes = [f"B{strike:g}" for strike in strikes]
    return Outcomes(codes, labels, kinds, floor, cap, edges[:-1], edges[1:], [-1] * size)


_NUMERIC: dict[str, Callable[[Family, int, np.random.Generator], Outcomes]] = {
    "ladder": _ladder,
    "buckets": _buckets,
    "props": _props,
}


def _strikes(family: Family, size: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Return equally spaced strikes and the probability that a hidden logistic value lies below each."""
    spread = family.step * size / rng.uniform(3, 9)
    middle = family.start + family.step * size * rng.uniform(0.3, 0.7)
    strikes = np.round(family.start + family.step * np.arange(size, dtype=np.float64), 4)
    return strikes, sigmoid((strikes - middle) / spread * 1.7)


def _without_strikes(codes: list[str], labels: list[str], strike: str, lo: Floats, hi: Floats) -> Outcomes:
    nothing = np.full(len(codes), np.nan)
    return Outcomes(codes, labels, [strike] * len(codes), nothing, nothing, lo, hi, [-1] * len(codes))


def _short_codes(labels: list[str]) -> list[str]:
    return [f"{label.replace(' ', '')[:3].upper()}{i}" for i, label in enumerate(labels)]


def _amount(value: float, unit: str) -> str:
    number = f"{value:,.10g}"
    if unit == "$":
        return f"{unit}{number}"
    return f"{number} {unit}" if unit.isalpha() else f"{number}{unit}"
