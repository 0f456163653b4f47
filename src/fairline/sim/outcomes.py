"""How the outcomes of an event hang together: what its markets are called, and where the hidden number must fall."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairline.sim.families import ENDINGS, SYLLABLES, Family
from fairline.sim.quotes import sigmoid


@dataclass(slots=True)
class Outcomes:
    """The markets of one event: names, strikes, and the interval of the event's hidden number in which each wins."""

    codes: list[str]
    labels: list[str]
    strikes: list[str]
    floor: NDArray[np.float64]
    cap: NDArray[np.float64]
    lo: NDArray[np.float64]
    hi: NDArray[np.float64]


def outcomes(family: Family, size: int, names: tuple[str, str], rng: np.random.Generator) -> Outcomes:
    nothing = np.full(size, np.nan)
    # The last event made may have room for a single market, which is then a question on its own.
    if family.kind in ("ladder", "buckets") and size > 1:
        return _numeric(family, size, rng)
    if family.kind == "deadline":
        hi = np.sort(rng.beta(0.9, 1.6, size))
        months = [f"Month {i + 1}" for i in range(size)]
        labels = [f"Before {month}" for month in months]
        return Outcomes(
            [f"M{i + 1}" for i in range(size)], labels, ["custom"] * size, nothing, nothing, np.zeros(size), hi
        )
    if family.kind in ("menu", "binary") or size == 1:
        p = rng.beta(0.7, 1.3, size)
        lo = rng.random(size) * (1 - p)
        labels = [f"{SYLLABLES[i % 20].capitalize()}{ENDINGS[i // 20 % 10]}" for i in range(size)]
        codes = [f"{label[:4].upper()}{i}" for i, label in enumerate(labels)]
        return Outcomes(codes, labels, ["custom"] * size, nothing, nothing, lo, lo + p)
    share = rng.dirichlet(np.full(size, 4.0) if family.kind == "game" else 0.35 + 3.0 / np.arange(1, size + 1))
    if family.kind == "partition":
        share = share * rng.uniform(0.94, 1.0)
    edges = np.concatenate([[0.0], np.cumsum(share)])
    if family.kind == "game":
        edges[-1] = 1.0
        labels = [names[0], names[1], "Tie"][:size]
    else:
        labels = [
            f"{SYLLABLES[(7 * i) % 20].capitalize()} {ENDINGS[(3 * i + i // 20) % 10].capitalize()}"
            for i in range(size)
        ]
    codes = [f"{label.replace(' ', '')[:3].upper()}{i}" for i, label in enumerate(labels)]
    return Outcomes(codes, labels, ["structured"] * size, nothing, nothing, edges[:-1], edges[1:])


def _numeric(family: Family, size: int, rng: np.random.Generator) -> Outcomes:
    """Strikes over a hidden logistic value: a monotone ladder, or buckets with open ends."""
    spread = family.step * size / rng.uniform(3, 9)
    middle = family.start + family.step * size * rng.uniform(0.3, 0.7)
    strikes = np.round(family.start + family.step * np.arange(size, dtype=np.float64), 4)
    below = sigmoid((strikes - middle) / spread * 1.7)
    if family.kind == "ladder":
        labels = [f"Above {_amount(strike, family.unit)}" for strike in strikes]
        codes = [f"T{strike:g}" for strike in strikes]
        return Outcomes(codes, labels, ["greater"] * size, strikes, np.full(size, np.nan), below, np.ones(size))
    edges = np.concatenate([[0.0], below[1:], [1.0]])
    floor = strikes.copy()
    cap = np.round(strikes + family.step - 0.01, 4)
    kinds = ["between"] * size
    kinds[0], kinds[-1] = "less", "greater"
    cap[0], floor[0] = strikes[1], np.nan
    floor[-1], cap[-1] = np.round(strikes[-1] - 0.01, 4), np.nan
    labels = [f"{_amount(s, family.unit)} to {_amount(s + family.step, family.unit)}" for s in strikes]
    return Outcomes([f"B{s:g}" for s in strikes], labels, kinds, floor, cap, edges[:-1], edges[1:])


def _amount(value: float, unit: str) -> str:
    number = f"{value:,.10g}"
    return f"{unit}{number}" if unit == "$" else f"{number} {unit}" if unit.isalpha() else f"{number}{unit}"
