"""A simulated day in a minute, or in ten: one fault after the other, with calm periods between."""

import faulthandler
import time
from collections import Counter

import numpy as np
import polars as pl
import pytest

from fairline.sim import Exchange, Fault
from tests.flow.watching import HOOKED, STOP_S, Hook, Watched, check_readable, rows, wait_for


def watch_a_day(tmp_path, seconds):
    """Watch a simulated day in `seconds` seconds, with faults and calm periods of equal length."""
    mixes = [
        [Fault("429", 0.3), Fault("500", 0.2), Fault("jitter", 0.5), Fault("malformed-row", 0.3)],
        [Fault("paused")],
        [Fault("reset", 0.3), Fault("reset-body", 0.2), Fault("duplicate-row", 0.5), Fault("unknown-values", 0.5)],
        [Fault("captive-page")],
        [Fault("truncated-gzip", 0.3), Fault("wrong-type", 0.2), Fault("not-json", 0.2), Fault("vanished-row", 0.3)],
        [Fault("moved")],
    ]
    with Exchange(markets=2_000, seed=9, moves=4, speed=86_400 / seconds) as exchange, Hook(up=0.7) as hook:
        toml = HOOKED.format(hook.url) + '[watch]\ndead_man = "2s"\n'
        with Watched(tmp_path, exchange, toml, settle_every="3s") as watch:
            watch.until("scan 2:")
            began, memory, phases = time.monotonic(), [], len(mixes) * max(1, round(seconds / 72)) * 2
            for phase in range(phases):
                exchange.faults.set(*(mixes[phase // 2 % len(mixes)] if phase % 2 == 0 else []))
                while time.monotonic() < began + seconds * (phase + 1) / phases:
                    time.sleep(0.25)
                memory.append((time.monotonic() - began, watch.memory_mb()))
            exchange.faults.set()
            before = watch.output().count("opportunities")
            wait_for(lambda: watch.output().count("opportunities") >= before + 3)
            wait_for(lambda: not rows(watch.store, "SELECT name FROM alarms"))
            hook.up = 1.0
            assert watch.stop() < STOP_S
    return watch, hook, memory


def check(watch, hook, memory):
    output = watch.output()
    assert "Traceback" not in output, output[-3000:]
    outcomes = Counter(watch.read("scans")["outcome"])
    assert outcomes["done"] > outcomes["failed"] > 0
    assert outcomes["paused"] > 0
    titles = [title for _, title, _ in rows(watch.store, "SELECT receiver, title, body FROM outbox ORDER BY id")]
    for name, title in (("outage", "no complete scan"), ("paused", "the exchange is paused")):
        raised = titles.count(f"Fairline: {title}")
        assert raised >= 1
        assert titles.count(f"Fairline: resolved ({name})") == raised
    sent = Counter((title, body) for title, body in hook.accepted if title.startswith("all"))
    assert not sent or max(sent.values()) == 1
    complete = watch.read("scans").filter(pl.col("outcome") == "done")["seen_ts"]
    intervals = complete.diff().dt.total_milliseconds().drop_nulls() / 1000
    # Between faults, one scan per tick; on a busy machine a scan that takes longer skips the ticks it runs over.
    slack = 2 * watch.read("scans")["duration_s"].drop_nulls().median()
    assert 0.65 < intervals.median() < 1.35 + slack
    assert watch.read("settlements").height > 0
    check_readable(watch.store)
    return memory


def test_a_watch_survives_a_day_of_faults_in_a_minute(tmp_path):
    check(*watch_a_day(tmp_path, 54))


@pytest.mark.slow
def test_memory_stays_flat_over_a_day_in_ten_minutes(tmp_path, record_property):
    faulthandler.cancel_dump_traceback_later()  # the test takes ten minutes
    memory = [(at, mb) for at, mb in check(*watch_a_day(tmp_path, 600)) if mb is not None]
    if memory:
        # From the second quarter on: by then everything is loaded.
        late = np.array(memory[len(memory) // 4 :])
        slope = np.polyfit(late[:, 0] / 60, late[:, 1], 1)[0]
        record_property("megabytes a minute", float(slope))
        assert slope < 3, memory
