"""Killed at random instants: nothing is lost, nothing is half, nothing is told twice."""

import faulthandler
import random
import signal
import time
from collections import Counter

import pytest

from tests.flow.watching import HOOKED, Hook, Watched, delivered, is_whole, wait_for, waiting


def killed(tmp_path, world, times):
    """Kill it at random instants; what was lost, what came twice."""
    chance = random.Random(times)
    with Hook(up=0.8, seed=5) as hook:
        watch = Watched(tmp_path, world, HOOKED.format(hook.url) + 'cooldown = "1s"\nper_hour = 100000\n')
        watch.log.touch()
        (tmp_path / "fairline.toml").write_text(HOOKED.format(hook.url).replace('"1h"', '"1s"') + "per_hour = 100000\n")
        for _ in range(times):
            with watch:
                seen = watch.said().count("Watching")
                watch.until("Watching", times=seen + 1)
                time.sleep(chance.uniform(0, 2.5))
                watch.process.send_signal(signal.SIGKILL)
                watch.process.wait()
            is_whole(watch.store)
        with watch:
            hook.up = 1.0
            watch.until("opportunities", times=watch.said().count("opportunities") + 2)
            wait_for(lambda: not waiting(watch.store), 60)
            watch.stop()
    return watch, hook


def unbroken(watch, hook, times):
    assert "Traceback" not in watch.said()
    sent = Counter((title, body) for _, title, body in delivered(watch.store))
    took = Counter(hook.taken)
    assert set(took) == set(sent), "everything arrived, and nothing that was not sent"
    again = sum(count - sent[message] for message, count in took.items())
    # Only what a receiver took in the moment before its answer was noted can come again: one for each kill at the most.
    assert 0 <= again <= times
    quotes = watch.read("quotes")
    assert quotes.select("seen_ts", "ticker").is_duplicated().sum() == 0
    last = {}
    for change, *key in watch.read("edges").select("change", "ticker", "side", "model").iter_rows():
        assert (change == "appeared") != (last.get(tuple(key), "gone") in ("appeared", "changed")), key
        last[tuple(key)] = change
    return again


def test_killed_again_and_again_it_loses_nothing(world, tmp_path):
    watch, hook = killed(tmp_path, world, 6)
    unbroken(watch, hook, 6)


@pytest.mark.slow
def test_killed_two_hundred_times_it_loses_nothing(world, tmp_path, record_property):
    faulthandler.cancel_dump_traceback_later()  # ten minutes are no hang here
    watch, hook = killed(tmp_path, world, 200)
    record_property("came twice", unbroken(watch, hook, 200))
