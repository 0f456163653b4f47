"""Run the built-in models over 117,000 markets with payloads in memory, to measure pricing alone.

`blend` is omitted: it is the other models and a sum.
"""

import json
import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import polars as pl

from benchmarks.world import list_world
from fairline.config.model_settings import model_settings
from fairline.errors import InputError
from fairline.models import Model, load
from fairline.models.curve import ALL_CATEGORIES, HOURS_BEFORE_CLOSE, Curve, Curves, curve_name
from fairline.models.politics.states import electors
from fairline.models.sports.teams import load_leagues
from fairline.models.stations import load_stations
from fairline.models.subjects import load_subjects
from fairline.sim.world import World
from fairline.sources import Payload, Request

MARKETS, RUNGS, AN_EVENT = 117_000, 20_000, 200
GAMES, ODDS, BOOKS, POLLS = 2_000, 60, 30, 4_000
NOW = datetime.now(UTC).replace(minute=20, second=0, microsecond=0)


def frame() -> pl.DataFrame:
    """Return the simulated listing, with 20,000 markets turned into rungs of hourly BTC ladders."""
    rows = list_world(World(MARKETS, seed=0)).with_row_index("at")
    hour = pl.col("at") // AN_EVENT + 1
    close = pl.lit(NOW.replace(minute=0)) + pl.duration(hours=hour % 70)
    local = close.dt.convert_time_zone("America/New_York")
    event = pl.format("KXBTC-{}", local.dt.strftime("%y%b%d%H").str.to_uppercase())
    rung = pl.col("at") < RUNGS
    step = (pl.col("at") % AN_EVENT).cast(pl.Float64)
    rows = rows.with_columns(
        series_ticker=pl.when(rung).then(pl.lit("KXBTC")).otherwise("series_ticker"),
        event_ticker=pl.when(rung).then(event).otherwise("event_ticker"),
        close_ts=pl.when(rung).then(close.dt.cast_time_unit("us")).otherwise("close_ts"),
        strike_type=pl.when(rung).then(pl.lit("between")).otherwise("strike_type"),
        floor_strike=pl.when(rung).then(50_000 + 100 * step).otherwise("floor_strike"),
        cap_strike=pl.when(rung).then(50_099.99 + 100 * step).otherwise("cap_strike"),
        yes_sub_title=pl.when(rung)
        .then(pl.format("${} to {}", 50_000 + 100 * step, 50_099.99 + 100 * step))
        .otherwise("yes_sub_title"),
        title=pl.when(rung).then(pl.lit("Bitcoin price range?")).otherwise("title"),
        rules_day=pl.when(rung).then(local.dt.date()).otherwise("rules_day"),
    ).drop("at")  # fmt: skip
    return pl.concat([rows, real_subjects(rows.columns)], how="diagonal")


def schedule() -> list[tuple[datetime, str, str]]:
    """Return MLB games from tomorrow on as start, home team and away team."""
    teams, rng = sorted(load_leagues()["mlb"].teams), np.random.default_rng(0)
    rows = []
    for n in range(GAMES):
        if n % 15 == 0:
            order = rng.permutation(len(teams))
        home, away = teams[order[2 * (n % 15)]], teams[order[2 * (n % 15) + 1]]
        rows.append(((NOW + timedelta(days=1 + n // 15)).replace(hour=23, minute=10), home, away))
    return rows


def real_subjects(columns: list[str]) -> pl.DataFrame:
    """Return markets on real games, elections, weather days and indices, which the simulated exchange lacks."""
    rows = []
    for start, home, away in schedule():
        local = start.astimezone(ZoneInfo("America/New_York"))
        event = f"KXMLBGAME-{local:%y%b%d%H%M}{away}{home}".upper()
        rows += [
            (f"{event}-{code}", event, "KXMLBGAME", load_leagues()["mlb"].teams[code][0], start)
            for code in (home, away)
        ]
    year = (NOW + timedelta(days=300)).year
    for place in electors(2028):
        event = f"SENATE{place}-{year % 100}"
        rows += [(f"{event}-{code}", event, f"SENATE{place}", name, NOW + timedelta(days=900))
                 for code, name in (("D", "Democratic"), ("R", "Republican"))]  # fmt: skip
    frame = pl.DataFrame(
        rows, orient="row", schema=["ticker", "event_ticker", "series_ticker", "yes_sub_title", "close_ts"]
    )
    frame = frame.with_columns(
        pl.col("close_ts").cast(pl.Datetime("us", "UTC")), status=pl.lit("active"), market_type=pl.lit("binary"),
        decided_ts=(pl.col("close_ts") + pl.duration(hours=3)).cast(pl.Datetime("us", "UTC")),
    )  # fmt: skip
    frame = pl.concat([frame, ranges()], how="diagonal")
    return frame.select(name for name in columns if name in frame.columns)


def ranges() -> pl.DataFrame:
    """Return tomorrow's highs and lows of all stations, six bins each, and an hourly ladder of each stock index."""
    places, rows = load_stations(), list[tuple[str, str, str, datetime, float, str | None]]()
    for series, subject in load_subjects(stations=load_stations()).items():
        place = places.get(subject.subject)
        if place is None:
            continue
        day = (NOW + timedelta(hours=place.utc_offset)).replace(hour=0, minute=0) + timedelta(days=1)
        event, close = f"{series}-{day:%y%b%d}".upper(), day + timedelta(days=1, minutes=-1, hours=-place.utc_offset)
        rows += [(f"{event}-B{n}", event, series, close, 40.0 + 2 * n, place.name[1:]) for n in range(6)]
    close = NOW.replace(minute=0) + timedelta(hours=1)
    local = close.astimezone(ZoneInfo("America/New_York"))
    for series, low in (("KXINX", 7_000.0), ("KXNASDAQ100", 27_000.0)):
        event = f"{series}-{local:%y%b%dH%H}00".upper()
        rows += [(f"{event}-B{n}", event, series, close, low + n, None) for n in range(AN_EVENT)]
    names = ["ticker", "event_ticker", "series_ticker", "close_ts", "floor_strike", "rules_station"]
    return pl.DataFrame(rows, orient="row", schema=names).with_columns(
        pl.col("close_ts").cast(pl.Datetime("us", "UTC")), status=pl.lit("active"), market_type=pl.lit("binary"),
        strike_type=pl.lit("between"), cap_strike=pl.col("floor_strike") + 1,
    )  # fmt: skip


def forecasts(request: Request) -> bytes:
    hours = int(request.key.partition("GMT%2B")[2].partition("&")[0])
    first = NOW.replace(tzinfo=None, hour=0, minute=0) - timedelta(days=61)
    times = [(first + timedelta(hours=hour)).isoformat(timespec="minutes") for hour in range(64 * 24)]
    warm = [50.0 + 5 * np.sin(hour / 3.8) for hour in range(len(times))]
    lists = {f"temperature_2m{name}": warm for name in ("", "_previous_day1", "_previous_day2")}
    header = {"utc_offset_seconds": -3_600 * hours, "hourly_units": {"temperature_2m": "°F"}}
    return json.dumps({"hourly": {"time": times, **lists}, **header}).encode()


def readings(_: Request) -> bytes:
    days = [NOW.date() - timedelta(days=n) for n in range(1, 60)]
    return json.dumps({"results": [{"valid": f"{day}", "high": 55 + day.day % 3, "low": 45} for day in days]}).encode()


def quote(request: Request) -> bytes:
    """Return an index quote, which is usable while the stock exchanges are open."""
    local = NOW.astimezone(ZoneInfo("America/New_York"))
    price = {"SPX": 7_100.0, "NDX": 27_100.0}.get(request.key.rpartition("_")[2].partition(".")[0], 20.0)
    return json.dumps({"data": {"current_price": price, "last_trade_time": f"{local:%Y-%m-%dT%H:%M:%S}"}}).encode()


FEEDS = {"open-meteo": forecasts, "iastate": readings, "cboe": quote}


def results() -> bytes:
    games = [(start - timedelta(days=GAMES // 15 + 1), home, away) for start, home, away in schedule()]
    lines = [f"{start:%Y-%m-%d},{home},{away},{n * 7 % 9},{n * 5 % 8}" for n, (start, home, away) in enumerate(games)]
    return "\n".join(["date,home,away,home_score,away_score", *lines]).encode()


def odds() -> bytes:
    full = {code: names[1 if len(names) > 1 else 0] for code, names in load_leagues()["mlb"].teams.items()}
    return json.dumps([{
        "sport_key": "baseball_mlb", "commence_time": start.isoformat(), "home_team": full[home],
        "away_team": full[away],
        "bookmakers": [{"key": f"book{b}", "last_update": NOW.isoformat(), "markets": [{"key": "h2h", "outcomes": [
            {"name": full[home], "price": 1.8 + b / 300}, {"name": full[away], "price": 2.1}]}]} for b in range(BOOKS)],
    } for start, home, away in schedule()[:ODDS]]).encode()  # fmt: skip


def polls() -> bytes:
    places, year = sorted(electors(2028)), (NOW + timedelta(days=300)).year
    lines = [
        "poll_id,office_type,cycle,state,pollster,sample_size,population,end_date,candidate_party,candidate_name,pct"
    ]
    for n in range(POLLS):
        about = (
            f"{n},U.S. Senate,{year},{places[n % len(places)]},P{n % 40},800,lv,{NOW - timedelta(days=n % 50):%Y-%m-%d}"
        )
        lines += [f"{about},DEM,Ann,{44 + n % 7}", f"{about},REP,Bob,{44 + n % 5}"]
    return "\n".join(lines).encode()


def payload(request: Request) -> Payload:
    builder = {"mlb.csv": results, "mlb.json": odds, "polls.csv": polls}.get(request.key.rpartition("/")[2])
    if builder is not None:
        return Payload(request, NOW, builder())
    if request.source == "user":
        curve = Curve([0.0, 0.5, 1.0], [0.0, 0.45, 1.0], [0.0, 0.02, 0.0], 9_000, 900, 0.1, 0.05, 0.15)
        curves = Curves(NOW, {curve_name(ALL_CATEGORIES, hours): curve for hours in HOURS_BEFORE_CLOSE})
        return Payload(request, NOW, msgspec.json.encode(curves))
    feed = next((feed for host, feed in FEEDS.items() if host in request.shown), None)
    if feed is not None:
        return Payload(request, NOW, feed(request))
    seconds = int(request.key.rpartition("=")[2])
    walk = 60_000 * np.exp(np.cumsum(np.random.default_rng(seconds).normal(0, 4e-5 * np.sqrt(seconds), 300)))
    first = NOW.timestamp() - seconds * 300
    rows = [[int(first + seconds * n), 0, 0, 0, close, 1.0] for n, close in enumerate(walk)]
    return Payload(request, NOW, json.dumps(rows).encode())


def known(request: Request) -> bool:
    """Return whether the input exists: one of the two sources of odds does."""
    return not (request.key.endswith(("odds/mlb.csv", "past-results.csv")) or "the-odds-api" in request.key)


class Given(dict[Request, Payload]):
    def __missing__(self, request: Request) -> Payload:
        raise InputError(f"{request.shown} is missing", remedy="Not for a benchmark")


def measure(model: Model, markets: pl.DataFrame) -> tuple[float, int]:
    best, priced = 1e9, 0
    for _ in range(3):
        covered = markets.filter(model.covers(markets))
        given = Given({request: payload(request) for request in model.requests(covered, NOW) if known(request)})
        clock = time.perf_counter()
        covered = markets.filter(model.covers(markets))
        predictions = model.predict(covered, given, NOW)
        best = min(best, time.perf_counter() - clock)
        priced = predictions["p"].drop_nulls().len()
    return best, priced


def run() -> str:
    markets, lines, total = frame(), [], 0.0
    for name in ("calibrated", "coherent", "consensus", "diffusion", "elo", "polls", "weather"):
        seconds, priced = measure(load(name, model_settings()), markets)
        total += seconds
        lines.append(f"| `{name}` | {priced:,} | {seconds:.3f} |")
    head = f"| model, over {MARKETS:,} markets | priced | seconds |\n|---|---|---|"
    return "\n".join([head, *lines, f"| all | | {total:.3f} (goal: 1) |"])
