"""A day of the world in a minute, or in ten: one fault after the other, and as much calm between."""

import faulthandler
import time
from collections import Counter

import numpy as np
import polars as pl
import pytest

from fairline.sim import Exchange, Fault
from tests.flow.watching import HOOKED, PROMPTLY, Hook, Watched, is_whole, rows, wait_for


def a_day(tmp_path, seconds):
    """A day of the world in so many seconds, one fault after the other, and as much calm between."""
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
            before = watch.said().count("opportunities")
            wait_for(lambda: watch.said().count("opportunities") >= before + 3)
            wait_for(lambda: not rows(watch.store, "SELECT name FROM alarms"))
            hook.up = 1.0
            assert watch.stop() < PROMPTLY
    return watch, hook, memory


def judged(watch, hook, memory):
    said = watch.said()
    assert "Traceback" not in said, said[-3000:]
    outcomes = Counter(watch.read("scans")["outcome"])
    assert outcomes["done"] > outcomes["failed"] > 0
    assert outcomes["paused"] > 0
    letters = [title for _, title, _ in rows(watch.store, "SELECT receiver, title, body FROM outbox ORDER BY id")]
    for name, title in (("blind", "Fairline is blind"), ("paused", "The exchange is paused")):
        raised = letters.count(f"Fairline: {title}")
        assert raised >= 1
        assert letters.count(f"Fairline: all clear ({name})") == raised
    told = Counter((title, body) for title, body in hook.taken if title.startswith("all"))
    assert not told or max(told.values()) == 1
    whole = watch.read("scans").filter(pl.col("outcome") == "done")["seen_ts"]
    calm = whole.diff().dt.total_milliseconds().drop_nulls() / 1000
    # Between faults a scan a beat.
    assert calm.median() == pytest.approx(1.0, abs=0.35)
    assert watch.read("settlements").height > 0
    is_whole(watch.store)
    return memory


def test_a_day_in_a_minute_with_everything_going_wrong(tmp_path):
    judged(*a_day(tmp_path, 54))


@pytest.mark.slow
def test_a_day_in_ten_minutes_with_flat_memory(tmp_path, record_property):
    faulthandler.cancel_dump_traceback_later()  # ten minutes are no hang here
    memory = [(at, mb) for at, mb in judged(*a_day(tmp_path, 600)) if mb is not None]
    if memory:
        # From the second quarter on: what is loaded once is loaded.
        late = np.array(memory[len(memory) // 4 :])
        slope = np.polyfit(late[:, 0] / 60, late[:, 1], 1)[0]
        record_property("megabytes a minute", float(slope))
        assert slope < 3, memory
