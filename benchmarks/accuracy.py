"""Score each built-in model beside the market's midpoint at the same instant, on the recorded sets."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.evidence import DATA, Evidence, all_evidence, read_baseball
from fairline.models.sports.agreement import consensus
from fairline.models.sports.odds import read_odds
from fairline.models.sports.ratings import load_parameters, rate
from fairline.models.sports.teams import load_leagues
from fairline.scoring.metrics import clustered_mean
from fairline.scoring.records import fit_records

Floats = NDArray[np.float64]
BOOKS = DATA / "book_odds_devig_vs_kalshi_2025-08" / "odds_hourly.jsonl"
CLIP = 1e-4
BURN_IN_GAMES = 600
"""First games of a rating without a past, which say little about it."""


@dataclass(frozen=True, slots=True)
class Score:
    """Brier score and log loss of a model and of the midpoint, and their difference with its interval by event."""

    brier: float
    mid_brier: float
    log_loss: float
    mid_log_loss: float
    difference: str
    distance: float
    n: int
    events: int


def score(rows: pl.DataFrame) -> Score:
    """Score rows of `p, p_mid, outcome, event_ticker`."""
    y = rows["outcome"].to_numpy()
    p, mid = (rows[name].to_numpy() for name in ("p", "p_mid"))
    differences = rows.select("event_ticker", worse=pl.Series((p - y) ** 2 - (mid - y) ** 2))
    interval = clustered_mean(differences, "worse")
    assert interval is not None
    return Score(
        float(np.mean((p - y) ** 2)),
        float(np.mean((mid - y) ** 2)),
        log_loss(p, y),
        log_loss(mid, y),
        f"{interval.mean:+.4f} ({interval.low:+.4f} … {interval.high:+.4f})",
        float(np.sqrt(np.mean((p - mid) ** 2))),
        rows.height,
        rows["event_ticker"].n_unique(),
    )


def log_loss(p: Floats, y: Floats) -> float:
    """Return the mean negative log-likelihood of outcomes 0 and 1."""
    clipped = np.clip(p, CLIP, 1 - CLIP)
    return float(-np.mean(y * np.log(clipped) + (1 - y) * np.log(1 - clipped)))


def bookmakers() -> pl.DataFrame:
    """Return MLB games of August 2025 by the consensus of four books, the exchange's price and the league's result."""
    results = read_baseball().drop_nulls(["score1", "score2"]).filter(pl.col("score1") != pl.col("score2"))
    winners = {(day, home, away): one > two for day, home, away, one, two in results.select(
        "day", "home", "away", "score1", "score2").iter_rows()}  # fmt: skip
    rows = []
    for first, second in _pairs():
        at = datetime.fromisoformat(first["timestamp"]).astimezone(UTC)
        game = _consensus_row(first, second, at)
        if game is None:
            continue
        won = winners.get((game["day"], game["home"], game["away"]))
        swapped = winners.get((game["day"], game["away"], game["home"]))
        outcome = won if won is not None else (None if swapped is None else not swapped)
        if outcome is not None:
            rows.append((first["game_id"], game["home_p"], first["kalshi_implied_odds"], float(outcome)))
    schema = {"event_ticker": pl.String, "p": pl.Float64, "p_mid": pl.Float64, "outcome": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row").unique("event_ticker", keep="last", maintain_order=True)


def _pairs() -> list[tuple[dict, dict]]:
    """Return both teams of each MLB game at each hour."""
    games: dict[tuple[str, str], list[dict]] = {}
    for row in map(json.loads, BOOKS.read_text().splitlines()):
        if row["sport"] == "MLB" and row.get("market_ticker"):
            games.setdefault((row["timestamp"], row["game_id"]), []).append(row)
    return [(pair[0], pair[1]) for pair in games.values() if len(pair) == 2]


def _consensus_row(first: dict, second: dict, at: datetime) -> dict | None:
    """Return the consensus on a game whose first team is written as the home team; which one it is does not matter."""
    books = sorted(set(first["per_book_american_odds"]) & set(second["per_book_american_odds"]))
    day = datetime.strptime(first["game_id"][:7].title(), "%y%b%d").replace(tzinfo=UTC)
    event = {
        "commence_time": day.replace(hour=23).isoformat(),
        "home_team": first["team"],
        "away_team": second["team"],
        "bookmakers": [_book(book, (first, second), at) for book in books],
    }
    odds, faults = read_odds(json.dumps([event]).encode(), load_leagues()["mlb"], at)
    if faults or odds.height < 3:
        return None
    row = consensus(odds, at, 60).row(0, named=True)
    return row if row["home_p"] is not None else None


def _book(book: str, teams: tuple[dict, dict], at: datetime) -> dict:
    outcomes = [{"name": team["team"], "price": team["per_book_american_odds"][book]} for team in teams]
    return {"key": book, "last_update": at.isoformat(), "markets": [{"key": "h2h", "outcomes": outcomes}]}


def margin_of_victory() -> str:
    """Return the log loss of MLB ratings with and without margin, on the season used to choose and on the next one."""
    games = read_baseball().drop_nulls(["score1", "score2"]).filter(pl.col("score1") != pl.col("score2"))
    y = (games["score1"] > games["score2"]).cast(pl.Float64).to_numpy()
    chosen_on = (games["season"] == 2024).to_numpy() & (np.arange(games.height) >= BURN_IN_GAMES)
    kept_for = (games["season"] == 2025).to_numpy()
    lines = ["| MLB ratings | log loss 2024, on which the margin was chosen | log loss 2025 |", "|---|---|---|"]
    for margin, name in (("none", "without margin"), ("log", "with margin of victory")):
        parameters = msgspec.structs.replace(load_parameters()["mlb"], margin=margin)
        p = rate(games, parameters)["p1"].to_numpy()
        losses = [log_loss(p[rows], y[rows]) for rows in (chosen_on, kept_for)]
        lines.append(f"| {name} | {losses[0]:.4f} | {losses[1]:.4f} |")
    return "\n".join(lines)


def _line(evidence: Evidence) -> str:
    rows = evidence.tight
    result = score(rows)
    record = fit_records(rows)[0]
    came_true = f"{record.estimate:+.2f} ± {record.standard_error:.2f}, believed {record.k:.2f}"
    return _row(evidence.name, record.model, result, came_true)


def _row(name: str, model: str, result: Score, came_true: str) -> str:
    return (
        f"| {name} | `{model}` | {result.n:,} of {result.events:,} | {result.brier:.4f} | {result.mid_brier:.4f} "
        f"| {result.difference} | {result.log_loss:.4f} | {result.mid_log_loss:.4f} | {result.distance:.3f} "
        f"| {came_true} |"
    )


def run() -> str:
    head = (
        "| set | model | markets of events | Brier, model | Brier, mid | difference, 95 % by event | log loss, model "
        "| log loss, mid | rms distance to the mid | share of the disagreement that came true |\n"
        "|---|---|---|---|---|---|---|---|---|---|"
    )
    lines = [_line(evidence) for evidence in all_evidence()]
    lines.append(_row("MLB of August 2025, four books", "consensus", score(bookmakers()), "fewer than 30 events"))
    return "\n".join([head, *lines, "", margin_of_victory()])
