"""A planted model that reads a later candle earns money on the New York candles, and every proof catches it."""

import tomllib
from pathlib import Path

import pytest

import fairline
from tests.flow.test_cli import process

MAPS = Path(__file__).resolve().parents[2] / "examples" / "maps"
FOLDER = "kalshi_weather_nyc_high_candles_2026-02_03"

PLANTED = '''
"""It reads the candle six hours later of each market from the file that was ingested."""
import polars as pl

CANDLES = {candles!r}

class LaterCandle:
    """Knows a later candle."""
    name = "later candle"
    version = "1"

    def covers(self, markets):
        return pl.col("p_mid").is_not_null()

    def requests(self, markets, asof):
        return []

    def predict(self, markets, payloads, asof):
        candles = pl.read_csv(CANDLES).with_columns(at=pl.from_epoch("end_ts").dt.replace_time_zone("UTC"))
        quoted = (pl.col("yes_bid_close") > 0) & (pl.col("yes_ask_close") < 1)
        later = candles.filter(quoted & (pl.col("at") >= asof + pl.duration(hours=6)))
        later = later.sort("at").unique("ticker", keep="first")
        p = (pl.col("yes_bid_close") + pl.col("yes_ask_close")) / 2
        rows = markets.join(later.select("ticker", p=p), on="ticker")
        unknown = pl.lit(None, dtype=pl.Float64)
        return rows.select("ticker", "p", p_sd=unknown, model=pl.lit(self.name), asof=pl.lit(asof))

class Cached(LaterCandle):
    """Reads the file when it is loaded, not when it predicts."""
    def __init__(self):
        pl.read_csv(CANDLES)
'''


@pytest.fixture(scope="module")
def recorded(shared, tmp_path_factory):
    """A store with the candles and results, and a file with the planted models."""
    folder = tmp_path_factory.mktemp("planted")
    source = shared / FOLDER
    for file, name in (("candles_hourly.csv.gz", "weather-candles"), ("markets.csv", "weather-markets")):
        assert tomllib.loads((MAPS / f"{name}.toml").read_text())["name"] == name
        done = process("ingest", "table", source / file, "--map", MAPS / f"{name}.toml", "--into", folder / "store")
        assert done.returncode == 0, done.stderr
    planted = folder / "planted.py"
    planted.write_text(PLANTED.format(candles=str(source / "candles_hourly.csv.gz")))
    return folder / "store", planted


OPTIONS = {"max_spread": 200.0, "suspect": 100.0, "enter": "each", "every": "2h"}


def test_it_earns_where_nobody_should(recorded):
    store, planted = recorded
    report = fairline.backtest(f"{planted}:LaterCandle", store=store, **OPTIONS)
    everything = report.result.accounts[0].lines[0]
    assert everything.realised.low > 0.02
    assert everything.realised.n > 500
    assert everything.assumed_sizes == everything.filled  # candles have no sizes


@pytest.mark.parametrize("model", ["LaterCandle", "Cached"])
def test_a_proof_catches_it(recorded, model):
    store, planted = recorded
    report = fairline.backtest(f"{planted}:{model}", store=store, prove=True, **OPTIONS)
    assert not report.proof_passed
    assert "called polars.read_csv on a file" in report.proof.leak.source


def test_a_proof_passes_for_what_the_prices_say(recorded):
    store, _ = recorded
    report = fairline.backtest("coherent", store=store, prove=True, since="2026-03-20", **OPTIONS)
    assert report.proof_passed
    assert report.proof.instants > 100
