"""A watch killed at random instants loses nothing, leaves no partial file and repeats no message."""

import faulthandler
import random
import signal
import time
from collections import Counter

import pytest

from tests.flow.watching import HOOKED, Hook, Watched, check_readable, delivered_messages, undelivered_ids, wait_for


def watch_with_kills(tmp_path, world, times):
    """Kill a watch at random instants, and restart it."""
    chance = random.Random(times)
    with Hook(up=0.8, seed=5) as hook:
        watch = Watched(tmp_path, world, HOOKED.format(hook.url) + 'cooldown = "1s"\nper_hour = 100000\n')
        watch.log.touch()
        (tmp_path / "fairline.toml").write_text(HOOKED.format(hook.url).replace('"1h"', '"1s"') + "per_hour = 100000\n")
        for _ in range(times):
            with watch:
                seen = watch.output().count("Watching")
                watch.until("Watching", times=seen + 1)
                time.sleep(chance.uniform(0, 2.5))
                watch.process.send_signal(signal.SIGKILL)
                watch.process.wait()
            check_readable(watch.store)
        with watch:
            hook.up = 1.0
            watch.until("opportunities", times=watch.output().count("opportunities") + 2)
            wait_for(lambda: not undelivered_ids(watch.store), 60)
            watch.stop()
    return watch, hook


def check(watch, hook, times):
    """Check that nothing was lost, and return how many messages were repeated."""
    assert "Traceback" not in watch.output()
    sent = Counter((title, body) for _, title, body in delivered_messages(watch.store))
    took = Counter(hook.accepted)
    assert set(took) == set(sent), "what arrived is what was sent"
    repeated = sum(count - sent[message] for message, count in took.items())
    # A kill between delivery and commit repeats a message: at most one per kill.
    assert 0 <= repeated <= times
    quotes = watch.read("quotes")
    assert quotes.select("seen_ts", "ticker").is_duplicated().sum() == 0
    last = {}
    for change, *key in watch.read("edges").select("change", "ticker", "side", "model").iter_rows():
        assert (change == "appeared") != (last.get(tuple(key), "gone") in ("appeared", "changed")), key
        last[tuple(key)] = change
    return repeated


def test_six_kills_lose_nothing(world, tmp_path):
    watch, hook = watch_with_kills(tmp_path, world, 6)
    check(watch, hook, 6)


@pytest.mark.slow
def test_two_hundred_kills_lose_nothing(world, tmp_path, record_property):
    faulthandler.cancel_dump_traceback_later()  # the test takes ten minutes
    watch, hook = watch_with_kills(tmp_path, world, 200)
    record_property("repeated messages", check(watch, hook, 200))
