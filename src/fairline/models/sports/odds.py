"""What bookmakers pay on games, as The Odds API and football-data.co.uk write it, and what that says of each outcome.

Each book's margin is removed by itself; the consensus of an outcome is the weighted mean of the books' log-odds, and
its standard deviation how far the books lie apart.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
import polars as pl
from scipy.special import expit, logit

from fairline.errors import InputError
from fairline.models.sports.teams import League, key_of, names
from fairline.pricing.devig import devig

_ODDS: dict[str, pl.DataType | type[pl.DataType]] = {
    "league": pl.String,
    "day": pl.Date,
    "start_ts": pl.Datetime("us", "UTC"),
    "home": pl.String,
    "away": pl.String,
    "book": pl.String,
    "updated_ts": pl.Datetime("us", "UTC"),
    "home_odds": pl.Float64,
    "tie_odds": pl.Float64,
    "away_odds": pl.Float64,
}
ODDS = pl.Schema(_ODDS)
"""Decimal odds, a row for each book's quote on a game; `tie_odds` only where it can end so. `day` is New York's."""

SHARP = dict.fromkeys(("pinnacle", "ps", "betfair", "bfe", "matchbook"), 2.0)
"""Houses that weigh more than one: exchanges, and the one whose odds forecast best where that could be measured
(`docs/models/consensus.md`)."""
OWN = ("kalshi",)
"""The exchange itself is no evidence against its own price."""
_MOST_MARGIN = 0.25
_LEAST_SD = 0.005
_OLDEST = 1990


class _Outcome(msgspec.Struct):
    name: str
    price: float | None = None


class _Quoted(msgspec.Struct):
    key: str
    outcomes: list[_Outcome] = []
    last_update: datetime | None = None


class _Book(msgspec.Struct):
    key: str
    markets: list[_Quoted] = []
    last_update: datetime | None = None


class _Event(msgspec.Struct):
    commence_time: datetime
    home_team: str
    away_team: str
    bookmakers: list[_Book] = []
    sport_key: str = ""


def read_odds(body: bytes, league: League, read_ts: datetime) -> tuple[pl.DataFrame, list[str]]:
    """ODDS of a league in JSON of The Odds API (`h2h`, decimal or American) or CSV of football-data.co.uk, and a line
    for each game that cannot be used.

    A CSV does not say when its odds were quoted: they count as of `read_ts`. Raises `InputError` for anything else.
    """
    json = body.lstrip()[:1] in (b"[", b"{")
    rows = _from_json(body, league) if json else _from_csv(body, league, read_ts)
    known = names({league.name: league}).select("key", "team")
    for side in ("home", "away"):
        rows = rows.with_columns(key=key_of(pl.col(side)), **{f"{side}_name": pl.col(side)})
        rows = rows.join(known, on="key", how="left", maintain_order="left").drop(side, "key").rename({"team": side})
    lost = rows.filter(pl.col("home").is_null() | pl.col("away").is_null())
    who = lost.select(pl.concat_list(_unknown("home"), _unknown("away")).list.drop_nulls()).to_series().explode()
    faults = [f"no team of {league.name} is known as {name}" for name in who.drop_nulls().unique(maintain_order=True)]
    # Without the tie's odds those of a match are not whole; with them those of a game without ties are of another bet.
    whole = pl.col("tie_odds").is_not_null() == league.ties
    sound = rows.drop_nulls(["home", "away"]).filter(whole).with_columns(league=pl.lit(league.name))
    if sound.is_empty() and not rows.is_empty() and not faults:
        faults = [f"the odds on {league.name} are {'without' if league.ties else 'with'} ties"]
    return sound.select(pl.col(name).cast(dtype) for name, dtype in ODDS.items()), faults


def consensus(odds: pl.DataFrame, asof: datetime, stale_s: float, method: str = "power") -> pl.DataFrame:
    """A row a game: `{league, day, start_ts, home, away, books, stale}`, and of each side such as `home_p`, `home_sd`.

    Odds older than `stale_s` seconds at `asof` count as `stale` and for nothing else, as do those later than `asof`, of
    the exchange itself, and with a margin below 0 or above a quarter, which are no odds on one game.
    """
    game = ["league", "day", "start_ts", "home", "away"]
    age = (pl.lit(asof) - pl.col("updated_ts")).dt.total_seconds()
    current = age.is_between(0, stale_s).fill_null(value=False)
    counts = odds.group_by(game, maintain_order=True).agg(stale=(~current).sum())
    # A house under several names, or twice, is one: what it said last. The name before the underline is the house.
    house = pl.col("book").str.split("_").list.first()
    own = odds.filter(current).with_columns(book=house).filter(~pl.col("book").is_in(OWN))
    fair = _fair(own.sort("updated_ts").unique([*game, "book"], keep="last", maintain_order=True), method)
    made = [pl.len().alias("books")]
    weight = pl.col("book").replace_strict(SHARP, default=1.0, return_dtype=pl.Float64)
    for side in ("home", "tie", "away"):
        log = pl.col(f"{side}_log")
        # The sum of nothing is 0: a game without ties has no tie.
        mean = pl.when(log.count() == pl.len()).then((log * weight).sum() / weight.sum())
        made += [mean.alias(f"{side}_log"), log.std().alias(f"{side}_log_sd")]
    rows = counts.join(fair.group_by(game).agg(made), on=game, how="left", maintain_order="left", nulls_equal=True)
    means = np.stack([expit(rows[f"{side}_log"].fill_null(-np.inf).to_numpy()) for side in ("home", "tie", "away")])
    # Means of log-odds add up to one only nearly. A game without a current quote has no probability.
    total = means.sum(axis=0)
    p = means / np.where(total > 0, total, np.nan)
    columns: dict[str, pl.Series] = {}
    for side, values in zip(("home", "tie", "away"), p, strict=True):
        spread = rows[f"{side}_log_sd"].fill_null(0.0).to_numpy() * values * (1 - values)
        columns |= {
            f"{side}_p": pl.Series(values, nan_to_null=True),
            f"{side}_sd": pl.Series(np.maximum(spread, _LEAST_SD)),
        }
    return rows.select(*game, pl.col("books").fill_null(0), "stale").with_columns(**columns)


def _fair(odds: pl.DataFrame, method: str) -> pl.DataFrame:
    """With the log-odds of each outcome, each book's margin removed; without quotes that are none."""
    three = odds["tie_odds"].is_not_null()
    parts = []
    for rows, sides in ((odds.filter(~three), ("home", "away")), (odds.filter(three), ("home", "tie", "away"))):
        paid = np.stack([rows[f"{side}_odds"].fill_null(np.nan).to_numpy() for side in sides], axis=1)
        prices = 1.0 / np.where(paid > 1.0, paid, np.nan)
        total = prices.sum(axis=1)
        sound = np.isfinite(total) & (total >= 1.0) & (total <= 1.0 + _MOST_MARGIN)
        kept, prices = rows.filter(pl.Series(sound)), prices[sound]
        event = np.repeat(np.arange(kept.height), len(sides))
        fair = devig(prices.ravel(), event, method).reshape(-1, len(sides))
        logs = {f"{side}_log": pl.Series(logit(column)) for side, column in zip(sides, fair.T, strict=True)}
        parts.append(kept.with_columns(tie_log=pl.lit(None, dtype=pl.Float64)).with_columns(**logs))
    made = pl.concat(parts, how="diagonal").with_columns(away_log=pl.col("away_log").cast(pl.Float64))
    return made.filter(pl.col("home_log").is_finite() & pl.col("away_log").is_finite())


def _from_json(body: bytes, league: League) -> pl.DataFrame:
    try:
        if body.lstrip()[:1] == b"[":
            events = msgspec.json.decode(body, type=list[_Event])
        else:
            events = msgspec.convert(msgspec.json.decode(body, type=dict[str, Any])["events"], type=list[_Event])
    except (msgspec.MsgspecError, KeyError) as error:
        raise InputError(
            f"the odds on {league.name} have another shape ({error})", remedy="Expected: JSON of The Odds API, h2h"
        ) from None
    if any(event.sport_key not in ("", league.odds) for event in events):
        raise InputError(f"these are not the odds on {league.name}", remedy=f"Expected: {league.odds or 'none'}")
    rows = [
        (event.commence_time, event.home_team, event.away_team, book.key, market.last_update or book.last_update,
         *_three({outcome.name: outcome.price for outcome in market.outcomes}, event))
        for event in events for book in event.bookmakers for market in book.markets if market.key == "h2h"
    ]  # fmt: skip
    table = pl.DataFrame(
        rows, orient="row",
        schema={name: ODDS[name] for name in ("start_ts", "home", "away", "book", "updated_ts", "home_odds", "tie_odds",
                                              "away_odds")},
    )  # fmt: skip
    priced = ["home_odds", "tie_odds", "away_odds"]
    if (table.select(pl.min_horizontal(priced).min()).item() or 2.0) < 0:
        table = table.with_columns(_decimal(pl.col(name)).alias(name) for name in priced)
    return table.with_columns(day=pl.col("start_ts").dt.convert_time_zone("America/New_York").dt.date())


def _three(prices: Mapping[str, float | None], event: _Event) -> Sequence[float | None]:
    return prices.get(event.home_team), prices.get("Draw"), prices.get(event.away_team)


def _decimal(american: pl.Expr) -> pl.Expr:
    return pl.when(american > 0).then(1 + american / 100).otherwise(1 - 100 / american)


def _from_csv(body: bytes, league: League, read_ts: datetime) -> pl.DataFrame:
    remedy = "Expected: a CSV of football-data.co.uk with Date,HomeTeam,AwayTeam and odds such as B365H,B365D,B365A"
    try:
        table = pl.read_csv(body, infer_schema=False, truncate_ragged_lines=True, encoding="utf8-lossy")
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0][:120]
        raise InputError(f"the odds on {league.name} are neither JSON nor CSV ({reason})", remedy=remedy) from None
    own = {name.strip().lstrip("\ufeff"): name for name in reversed(table.columns)}
    table = table.select(pl.col(name).alias(own_name) for own_name, name in own.items())
    # Averages and maxima over books are no book, and closing odds are not known before.
    found = [name.removesuffix("H") for name in table.columns if re.fullmatch(r"(?!Bb|Avg|Max)[A-Z0-9]{2,4}H", name)]
    needed = ("D", "A") if league.ties else ("A",)
    books = [
        n for n in found
        if all(n + code in table.columns for code in needed) and not (n.endswith("C") and n[:-1] in found)
    ]  # fmt: skip
    missing = {"Date", "HomeTeam", "AwayTeam"} - set(table.columns)
    if missing or not books:
        raise InputError(f"the odds on {league.name} lack columns", remedy=remedy)
    date = pl.col("Date").str
    days = [date.to_date(form, strict=False) for form in ("%d/%m/%Y", "%d/%m/%y")]
    day = pl.coalesce(pl.when(made.dt.year() > _OLDEST).then(made) for made in days)
    parts = [
        table.select(
            day=day, home="HomeTeam", away="AwayTeam", book=pl.lit(book.lower()),
            updated_ts=pl.lit(read_ts).cast(ODDS["updated_ts"]), start_ts=pl.lit(None, dtype=ODDS["start_ts"]),
            **{f"{side}_odds": pl.col(book + code).cast(pl.Float64, strict=False)
               for side, code in (("home", "H"), ("tie", "D"), ("away", "A")) if book + code in table.columns},
        ) for book in books
    ]  # fmt: skip
    made = pl.concat(parts, how="diagonal").drop_nulls(["day", "home_odds", "away_odds"])
    return made if "tie_odds" in made.columns else made.with_columns(tie_odds=pl.lit(None, dtype=pl.Float64))


def _unknown(side: str) -> pl.Expr:
    return pl.when(pl.col(side).is_null()).then(f"{side}_name")
