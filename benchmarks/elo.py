"""Rate 50,000 games; compare with `elote` from PyPI on the same games, each in its own environment."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl

from fairline.models.sports.ratings import load_parameters, rate

ELOTE = Path(__file__).parents[1] / ".venv-clients" / "elote" / "bin" / "python"
GAMES, TEAMS = 50_000, 32
_THEIRS = """
import json, sys, time
from elote import EloCompetitor
games = json.load(sys.stdin)
best = 1e9
for _ in range(3):
    teams = {name: EloCompetitor(initial_rating=1500) for game in games for name in game[:2]}
    clock = time.perf_counter()
    for one, two, score1, score2 in games:
        a, b = teams[one], teams[two]
        a.expected_score(b)
        a.beat(b) if score1 > score2 else a.lost_to(b) if score1 < score2 else a.tied(b)
    best = min(best, time.perf_counter() - clock)
print(best)
"""


def games() -> pl.DataFrame:
    rng = np.random.default_rng(0)
    one = rng.integers(0, TEAMS, GAMES)
    two = (one + rng.integers(1, TEAMS, GAMES)) % TEAMS
    return pl.DataFrame(
        {
            "season": np.arange(GAMES) // 500 + 1900, "team1": [f"T{n}" for n in one], "team2": [f"T{n}" for n in two],
            "neutral": np.zeros(GAMES, dtype=bool), "score1": rng.integers(0, 40, GAMES),
            "score2": rng.integers(0, 40, GAMES),
        }
    )  # fmt: skip


def best_of(times: int, results: pl.DataFrame) -> float:
    league, best = load_parameters()["nfl"], 1e9
    for _ in range(times):
        clock = time.perf_counter()
        rate(results, league)
        best = min(best, time.perf_counter() - clock)
    return best


def run() -> str:
    results = games()
    # Parts of this length are too short for compilation.
    plain = sum(best_of(3, results.slice(at, GAMES // 5)) for at in range(0, GAMES, GAMES // 5))
    best = best_of(4, results)
    lines = [
        f"| {GAMES:,} games of {TEAMS} teams | seconds | |\n|---|---|---|",
        f"| `ratings.rate`, with margin of victory, home and seasons, and the extra `fast` | {best:.3f} | 1 |",
        f"| the same without this extra | {plain:.3f} | {plain / best:.0f} × slower |",
    ]
    if ELOTE.exists():
        given = json.dumps(list(results.select("team1", "team2", "score1", "score2").iter_rows()))
        done = subprocess.run([ELOTE, "-c", _THEIRS], input=given, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        theirs = float(done.stdout)
        lines.append(
            f"| `elote`'s plain Elo, one object per competitor | {theirs:.3f} | {theirs / best:.0f} × slower |"
        )
    else:
        print("skipped elote: make clients installs it", file=sys.stderr)
    return "\n".join(lines)
