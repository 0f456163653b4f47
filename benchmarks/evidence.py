"""Recorded quotes with results, priced by the built-in models: the evidence behind records and model pages.

Each set has one row per market: the model's probability and both sides of the quote at one instant before the outcome,
and how the market settled. The data are third-party recordings beside the project (`../shared/data`) and are not part
of it. `python -m benchmarks.evidence` fits each model's record and writes `src/fairline/pricing/records.toml`."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from fairline.market.frame import MARKETS, NOTIONAL_U, with_probabilities
from fairline.models.pool import pool_opinions
from fairline.models.prices.diffusion import probability, settling_sd, volatility
from fairline.models.sports.games import link_games, match_fixtures
from fairline.models.sports.ratings import load_parameters, rate
from fairline.models.sports.results import read_results
from fairline.models.sports.teams import load_leagues
from fairline.pricing.belief import Record
from fairline.pricing.projection import coherent
from fairline.scoring.blending import fit_pool
from fairline.scoring.calibration import fit_curve
from fairline.scoring.records import MAX_SPREAD_PERCENT, fit_records

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
LADDERS = DATA / "kalshi_crypto_hourly_ladders_2026-07-03_12" / "ladders_with_spot_and_result.parquet"
BASEBALL = DATA / "kalshi_mlb_games_close_price_2025"
SPORTS_QUOTES = DATA / "kalshi_sports_price_history_and_result_2026-07" / "quotes.csv.gz"
RECORDS = Path(__file__).resolve().parents[1] / "src" / "fairline" / "pricing" / "records.toml"
COMMAND = "python -m benchmarks.evidence"
WINDOW_S = 60
MIN_HOURS_TO_CLOSE = 5.0
"""The market of a game closes after it: quotes this long before are from before the game."""
CURVE_SHARE = 1 / 3
"""The earliest share of baseball's events, on which the curve of `calibrated` is fitted; the rest judges it."""
_SCHEMA = {
    "model": pl.String,
    "category": pl.String,
    "ticker": pl.String,
    "event_ticker": pl.String,
    "ts": pl.Datetime("us", "UTC"),
    "p": pl.Float64,
    "yes_bid_u": pl.Int64,
    "yes_ask_u": pl.Int64,
    "outcome": pl.Float64,
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """One set: what was recorded, and its rows (`model, category, ticker, event_ticker, ts, p, yes_bid_u, yes_ask_u,
    outcome`).
    """

    name: str
    data: str
    rows: pl.DataFrame

    @property
    def with_mid(self) -> pl.DataFrame:
        """The rows with `p_mid` and `spread_percent`."""
        bid, ask = pl.col("yes_bid_u"), pl.col("yes_ask_u")
        return self.rows.with_columns(
            p_mid=(bid + ask) / (2 * NOTIONAL_U),
            spread_percent=200 * (ask - bid) / (ask + bid),
            day=pl.col("ts").dt.date(),
        )

    @property
    def tight(self) -> pl.DataFrame:
        """The rows with a spread below 5 %, which count for a record."""
        return self.with_mid.filter(pl.col("spread_percent") < MAX_SPREAD_PERCENT)


def all_evidence() -> list[Evidence]:
    """Return every set that was recorded. Raises `FileNotFoundError` without the recorded data."""
    builders: list[Callable[[], Evidence]] = [
        hourly_ladders,
        ladders_by_coherence,
        baseball_by_elo,
        baseball_by_blend,
        baseball_by_prices,
        sports_quotes,
    ]
    return [build() for build in builders]


def markets_of(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows as MARKETS with probabilities, quoted for 100 contracts at the full taker fee."""
    filled = rows.with_columns(
        status=pl.lit("active"),
        market_type=pl.lit("binary"),
        yes_bid_size_cc=pl.lit(10_000),
        yes_ask_size_cc=pl.lit(10_000),
        close_ts=pl.col("ts") + pl.duration(days=1),
        fee_type=pl.lit("quadratic"),
        fee_multiplier_m=pl.lit(10_000),
    )
    return with_probabilities(
        filled.select(
            (pl.col(name) if name in filled.columns else pl.lit(None)).cast(dtype).alias(name)
            for name, dtype in MARKETS.items()
        )
    )


def hourly_ladders() -> Evidence:
    """Return BTC and ETH ladders priced by `diffusion`, each rung at the first instant it was quoted tightly.

    Volatility comes from the spot prices recorded before each instant, about every half hour.
    """
    rows = _read_ladders()
    rows = rows.join(_ladder_sds(rows), on=["series", "now"]).filter(_is_two_sided())
    low = pl.when(pl.col("strike_type") != "less").then("floor_strike")
    high = pl.when(pl.col("strike_type") != "greater").then("cap_strike")
    rows = rows.with_columns(low=low, high=high)
    arrays = [rows[name].fill_null(float("nan")).to_numpy() for name in ("low", "high", "spot", "sd")]
    return _ladder_evidence(
        "BTC and ETH hourly ladders, July 2026", "diffusion", rows.with_columns(p=probability(*arrays))
    )


def ladders_by_coherence() -> Evidence:
    """Return the same ladders at the same instants, priced by `coherent` from the other ranges of their hour."""
    rows = _read_ladders()
    instant = pl.format("{}@{}", "event_ticker", "now")
    quoted = rows.filter(_is_two_sided()).with_columns(
        ts="now",
        ticker=pl.format("{}@{}", "ticker", "now"),
        event_ticker=instant,
        mutually_exclusive=pl.lit(value=True),
    )
    bid, ask = ((pl.col(name) * NOTIONAL_U).round().cast(pl.Int64) for name in ("yes_bid", "yes_ask"))
    p = coherent(markets_of(quoted.with_columns(yes_bid_u=bid, yes_ask_u=ask))).select("ticker", "p")
    priced = quoted.join(p, on="ticker").with_columns(pl.col("ticker", "event_ticker").str.split("@").list.first())
    return _ladder_evidence("BTC and ETH hourly ladders, by each other", "coherent", priced)


def _read_ladders() -> pl.DataFrame:
    return pl.read_parquet(LADDERS).with_columns(
        now=pl.col("captured_at").str.to_datetime(time_zone="UTC"),
        close=pl.col("close_time").str.to_datetime(time_zone="UTC"),
    )


def _is_two_sided() -> pl.Expr:
    return (pl.col("yes_bid") > 0) & (pl.col("yes_ask") < 1) & (pl.col("yes_ask") > pl.col("yes_bid"))


def _ladder_evidence(name: str, model: str, rows: pl.DataFrame) -> Evidence:
    """Return each rung at the first instant at which it was quoted tightly."""
    spread = 2 * (pl.col("yes_ask") - pl.col("yes_bid")) / (pl.col("yes_ask") + pl.col("yes_bid"))
    tight_first = rows.sort(spread >= MAX_SPREAD_PERCENT / 100, "now").unique(
        "ticker", keep="first", maintain_order=True
    )
    selected = _select(tight_first, model, "Crypto", ts=pl.col("now"), bid=pl.col("yes_bid"), ask=pl.col("yes_ask"))
    return Evidence(name, "hourly ladders of 3 to 12 July 2026", selected)


def _ladder_sds(rows: pl.DataFrame) -> pl.DataFrame:
    """Return `{series, now, sd}`: the standard deviation of what settles, from spot prices up to each instant."""
    looks = rows.select("series", "now", "close", "spot").unique(["series", "now"], maintain_order=True)
    looks = looks.with_columns(now_s=pl.col("now").dt.epoch("us") / 1e6, close_s=pl.col("close").dt.epoch("us") / 1e6)
    sds = []
    for (series,), own in looks.group_by("series"):
        prices = own.select(ts="now_s", price="spot").sort("ts")
        for now, now_s, close_s in own.select("now", "now_s", "close_s").iter_rows():
            vol = volatility(prices, now_s)
            if vol is not None:
                sds.append((series, now, settling_sd(vol, now_s, close_s, WINDOW_S)))
    schema = {"series": rows.schema["series"], "now": rows.schema["now"], "sd": pl.Float64}
    return pl.DataFrame(sds, schema=schema, orient="row").filter(pl.col("sd").is_not_nan())


def baseball_by_elo() -> Evidence:
    """Return MLB 2025 at the last price before the game, priced by `elo` from results of earlier days."""
    rated = rate(read_baseball(), load_parameters()["mlb"])
    fixtures = rated.with_columns(start_ts=pl.lit(None, dtype=pl.Datetime("us", "UTC")))
    rows = _baseball_closes()
    links = link_games(_bare_markets(rows))
    matches = match_fixtures(links, fixtures).filter(pl.col("reason").is_null())
    p = pl.when(pl.col("side") == "home").then("p1").otherwise(1 - pl.col("p1"))
    rows = rows.join(matches.select("ticker", p=p), on="ticker")
    return Evidence(
        "MLB 2025 at the close, ratings",
        "MLB game markets of 2025 at their last price before the game",
        _select(rows, "elo", "Sports", ts=pl.col("ts"), bid=pl.col("bid"), ask=pl.col("ask")),
    )


def baseball_by_blend() -> Evidence:
    """Return MLB 2025 priced by `elo` and the price together, their weight fitted on the first third of the season."""
    rows = baseball_by_elo().with_mid.sort("ts")
    opinions = rows.select(
        "ticker", "event_ticker", "model", "p", price="p_mid", y="outcome", cluster=pl.col("day").cast(pl.String)
    )
    first = opinions.head(round(rows.height * CURVE_SHARE))
    later = rows.slice(first.height)
    pool = fit_pool(first, [["elo"]], datetime(2025, 7, 1, tzinfo=UTC))
    p, p_mid = (later[name].to_numpy() for name in ("p", "p_mid"))
    pooled, _ = pool_opinions(p_mid, {"elo": (p, np.full(len(p), np.nan))}, pool.opinions)
    priced = later.with_columns(p=pl.Series(pooled), model=pl.lit("blend")).select(list(_SCHEMA))
    return Evidence("MLB 2025 at the close, ratings and price", "MLB game markets of 2025 at their last price", priced)


def baseball_by_prices() -> Evidence:
    """Return MLB 2025 priced by `calibrated`, its curve fitted on the first third of the season."""
    rows = _baseball_closes().sort("ts")
    first = rows.head(round(rows.height * CURVE_SHARE))
    later = rows.slice(first.height)
    return Evidence(
        "MLB 2025 at the close, prices so far",
        "MLB game markets of 2025 at their last price before the game",
        _select(_by_curve(first, later), "calibrated", "Sports", ts=pl.col("ts"), bid=pl.col("bid"), ask=pl.col("ask")),
    )


def sports_quotes() -> Evidence:
    """Return sports of July 2026 before the game, priced by `calibrated` with the curve of MLB 2025."""
    rows = pl.read_csv(SPORTS_QUOTES).filter(
        (pl.col("hours_to_close") >= MIN_HOURS_TO_CLOSE) & (pl.col("yes_bid") > 0) & (pl.col("yes_ask") < 1)
    )
    rows = rows.with_columns(
        ts=pl.col("captured_at").str.to_datetime(time_zone="UTC"), bid=pl.col("yes_bid"), ask=pl.col("yes_ask")
    )
    last = _by_curve(_baseball_closes(), rows.sort("ts").unique("ticker", keep="last", maintain_order=True))
    return Evidence(
        "Sports of July 2026 before the game",
        "sports game markets of July 2026",
        _select(
            _by_curve(_baseball_closes(), last),
            "calibrated",
            "Sports",
            ts=pl.col("ts"),
            bid=pl.col("bid"),
            ask=pl.col("ask"),
        ),
    )


def read_baseball() -> pl.DataFrame:
    """Return the results of MLB 2024 and 2025 in RESULTS columns."""
    league = load_leagues()["mlb"]
    files = [BASEBALL / f"statsapi_games_{year}.csv" for year in (2024, 2025)]
    return pl.concat([read_results(path.read_bytes(), league)[0] for path in files])


def _baseball_closes() -> pl.DataFrame:
    rows = pl.read_csv(BASEBALL / "kalshi_mlb_games.csv").filter(
        (pl.col("close_bid") > 0) & (pl.col("close_ask") < 100) & pl.col("result").is_in(["yes", "no"])
    )
    day = pl.col("date").str.to_datetime("%Y-%m-%d", time_unit="us", time_zone="UTC")
    return rows.with_columns(
        ts=day, bid=pl.col("close_bid") / 100, ask=pl.col("close_ask") / 100, event_ticker=pl.col("event")
    )


def _bare_markets(rows: pl.DataFrame) -> pl.DataFrame:
    filled = rows.with_columns(market_type=pl.lit("binary"), yes_sub_title="yes_team")
    return filled.select(
        (pl.col(name) if name in filled.columns else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in MARKETS.items()
    )


def _by_curve(train: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """Add `p` to the rows by what prices meant in `train`."""
    price = (pl.col("bid") + pl.col("ask")) / 2
    outcome = (pl.col("result") == "yes").cast(pl.Float64)
    curve = fit_curve(train.select("event_ticker", price=price, y=outcome))
    p, _ = curve.at(rows.select(price).to_series().to_numpy())
    return rows.with_columns(p=pl.Series(p))


def _select(rows: pl.DataFrame, model: str, category: str, *, ts: pl.Expr, bid: pl.Expr, ask: pl.Expr) -> pl.DataFrame:
    micro_dollars = [(side * NOTIONAL_U).round().cast(pl.Int64) for side in (bid, ask)]
    return rows.select(
        "ticker",
        "event_ticker",
        "p",
        model=pl.lit(model),
        category=pl.lit(category),
        ts=ts,
        yes_bid_u=micro_dollars[0],
        yes_ask_u=micro_dollars[1],
        outcome=(pl.col("result") == "yes").cast(pl.Float64),
    ).select(pl.col(name).cast(dtype) for name, dtype in _SCHEMA.items())  # type: ignore[arg-type]


def shipped_evidence() -> list[Evidence]:
    """Return the sets whose models are judged as they are shipped: the curves of `calibrated` are the user's own."""
    return [hourly_ladders(), baseball_by_elo()]


def fit_shipped_records() -> list[tuple[Record, Evidence]]:
    """Return the record of each built-in model with the set that it comes from."""
    return [
        (record, evidence)
        for evidence in shipped_evidence()
        for record in fit_records(evidence.tight, source="shipped")
    ]


def write_records() -> str:
    """Write the records that ship with Fairline, and return them as TOML."""
    head = RECORDS.read_text(encoding="utf-8").partition("\n\n[[record]]")[0].rstrip()
    tables = [_to_toml(record, evidence) for record, evidence in fit_shipped_records()]
    text = "\n\n".join([head, *tables]) + "\n"
    RECORDS.write_text(text, encoding="utf-8")
    return text


def _to_toml(record: Record, evidence: Evidence) -> str:
    numbers = {name: round(getattr(record, name), 4) for name in ("k", "cap", "estimate", "standard_error")}
    fields = {"model": record.model, "category": record.category, **numbers, "events": record.events}
    fields |= {"first_day": record.first_day, "last_day": record.last_day, "data": evidence.data, "command": COMMAND}
    lines = [f'{name} = "{value}"' if isinstance(value, str) else f"{name} = {value}" for name, value in fields.items()]
    return "\n".join(["[[record]]", *lines])


if __name__ == "__main__":
    print(f"# {datetime.now(UTC):%Y-%m-%d}\n{write_records()}")
