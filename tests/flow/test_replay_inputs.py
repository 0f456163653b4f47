"""Predictions can be repeated bit for bit from what a watch recorded, on another machine too."""

from datetime import UTC, datetime

import polars as pl

from fairline.kalshi import Kalshi, Transport
from fairline.market.frame import PREDICTIONS
from fairline.scanner import ScanOptions, predict, run_scan
from fairline.sources import Request, Sources
from fairline.store.inputs import Inputs
from fairline.store.store import Store
from fairline.watch.recorder import Recorder

INPUT = Request("user", "levels/level.txt")
OTHER = Request("https", "https://127.0.0.1:1/level", max_age_s=0)


class FromFile:
    """Prices every quoted market from a number in a user file; fails where the file is not a number."""

    name, version = "from-file", "1"

    def covers(self, markets):
        return pl.col("p_mid").is_not_null()

    def requests(self, markets, asof):
        return [INPUT, OTHER]

    def predict(self, markets, payloads, asof):
        level = float(payloads[INPUT].body)
        p = (pl.col("p_mid") * 0.5 + level * 0.5).sin().abs()
        hours = (pl.col("close_ts") - asof).dt.total_seconds() / 3_600
        return markets.select("ticker", p=(p + hours * 1e-7).clip(0.01, 0.99), p_sd=pl.lit(0.01),
                              model=pl.lit(self.name), asof=pl.lit(asof), note=pl.lit(None, dtype=pl.String)
                              ).select(PREDICTIONS.names())  # fmt: skip


async def test_recorded_inputs_repeat_the_predictions_of_every_scan(world, unhurried, tmp_path):
    store = Store(tmp_path / "store", "simulated")
    store.acquire()
    recorder, used = Recorder(store), []
    file = tmp_path / "home" / "levels" / "level.txt"
    file.parent.mkdir(parents=True)
    async with Kalshi(Transport(world.url, bucket=unhurried)) as kalshi:
        for content in (b"0.4", b"0.4", b"0.7", b"not a number", b"0.55"):
            file.write_bytes(content)
            sources = Sources(user_folder=tmp_path / "home")
            result = await run_scan(kalshi, [FromFile()], ScanOptions(books=False), sources=sources)
            now = datetime.now(UTC)
            recorder.record(result, now)
            recorded_at = recorder.store.read("scans")["seen_ts"][-1]
            used.append((recorded_at, result.evaluation))
    store.release()

    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "store").rename(elsewhere)
    file.unlink()
    replayed = Store(elsewhere)
    inputs = Inputs(replayed)
    compared = 0
    for recorded_at, evaluation in used:
        asof, requested = evaluation.inputs.asof, evaluation.inputs.requested
        markets = replayed.asof(recorded_at)
        payloads = inputs.known_at([INPUT, OTHER], asof)
        predictions, problems = predict(markets, [FromFile()], payloads, asof=asof, requested=requested)
        expected = evaluation.edges.filter((pl.col("side") == "yes") & pl.col("p").is_not_null())
        same = predictions.select("ticker", "p").sort("ticker")
        assert same.equals(expected.select("ticker", "p").sort("ticker"))
        assert [problem.message for problem in problems] == [problem.message for problem in evaluation.problems]
        compared += predictions.height
    assert compared > 900
