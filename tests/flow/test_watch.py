"""Around the clock in a minute: a watch as a process, an exchange that goes wrong, receivers that really listen."""

import json
import random
import re
import signal
import sqlite3
import time
import urllib.error
import urllib.request
from collections import Counter
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from aiosmtpd.controller import Controller

from fairline.sim import Exchange, Fault
from fairline.state import State
from fairline.store import Store
from tests.flow.watching import Hook, Watched, is_whole

HOOKED = '[receivers]\nhook = "{}"\n[alerts.all]\ncooldown = "1h"\n'


@pytest.fixture(scope="module")
def world():
    with Exchange(markets=400, seed=4, moves=120) as exchange:
        yield exchange
    exchange.faults.set()


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_it_scans_keeps_tells_and_stops_when_asked(world, tmp_path):
    with Hook() as hook, Watched(tmp_path, world, HOOKED.format(hook.url)) as watch:
        watch.until("scan 4:")
        monitor = re.search(r"http://127\.0\.0\.1:\d+(?=/healthz)", watch.said())[0]
        code, body = get(f"{monitor}/healthz")
        assert (code, json.loads(body)["sees"], json.loads(body)["alarms"]) == (200, True, {})
        metrics = get(f"{monitor}/metrics")[1]
        values = dict(re.findall(r"^(fairline_\w+(?:\{.*\})?) ([\d.e+-]+)$", metrics, re.MULTILINE))
        assert float(values['fairline_scans_total{outcome="done"}']) >= 4
        assert float(values["fairline_markets"]) == 400
        assert float(values['fairline_requests_total{status="200"}']) > 8
        assert get(f"{monitor}/other")[0] == 404
        assert watch.stop() < 2
    assert "Stopped." in watch.said()
    scans, edges = watch.read("scans"), watch.read("edges")
    assert set(scans["outcome"]) == {"done"}
    assert edges.filter(change="appeared").height > 0
    assert "all: " in hook.titles[0]
    told = "\n".join(body for _, body in hook.taken)
    assert any(ticker in told for ticker in edges["ticker"].unique())
    assert Store(watch.store).asof(datetime.now(UTC)).height == 400


def test_the_rhythm_is_kept_and_does_not_drift(world, tmp_path):
    with Watched(tmp_path, world, scans=6) as watch:
        assert watch.process.wait(timeout=60) == 0
    begun = watch.read("scans")["started_ts"].to_list()
    since = np.array([(at - begun[0]).total_seconds() for at in begun])
    # Each at a whole number of beats after the first, a tenth of one later by chance, or a little on a busy machine.
    assert all(-0.3 < offset - round(offset) < 0.6 for offset in since)
    assert len({round(offset) for offset in since}) == 6


def test_a_second_one_on_the_same_store_is_refused_with_the_firsts_process(world, tmp_path):
    with Watched(tmp_path, world) as first:
        first.until("scan 1:")
        (tmp_path / "second").mkdir()
        with Watched(tmp_path / "second", world, store=first.store) as second:
            assert second.process.wait(timeout=30) == 1
        assert f"is being written by process {first.process.pid}. Stop that one" in second.said()
        assert "Traceback" not in second.said()


def test_settings_are_read_again_and_broken_ones_change_nothing(world, tmp_path):
    with Hook() as hook, Watched(tmp_path, world, "") as watch:
        watch.until("scan 1:")
        (tmp_path / "fairline.toml").write_text("[alerts.x]\nmin_egde = 3\n")
        watch.process.send_signal(signal.SIGHUP)
        watch.until("the settings stay as they were: alerts.x has an unknown setting 'min_egde'")
        assert hook.taken == []
        (tmp_path / "fairline.toml").write_text(HOOKED.format(hook.url))
        watch.process.send_signal(signal.SIGHUP)
        watch.until("the settings were read again")
        wait_for(lambda: hook.taken)
        watch.stop()


def wait_for(there, seconds=40):
    deadline = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("phase", ["crawling", "no network", "a receiver that does not answer", "between scans"])
def test_it_ends_within_two_seconds_whatever_it_is_doing(world, tmp_path, phase):
    import socket

    deaf = socket.create_server(("127.0.0.1", 0))
    toml = HOOKED.format(f"json://127.0.0.1:{deaf.getsockname()[1]}/x") if phase.startswith("a receiver") else ""
    if phase == "crawling":
        world.faults.set(Fault("stall"))
    try:
        nowhere = SimpleNamespace(url="http://127.0.0.1:9/trade-api/v2")
        with Watched(tmp_path, nowhere if phase == "no network" else world, toml, every="20s") as watch:
            watch.until({"crawling": "Watching", "no network": "Watching"}.get(phase, "scan 1:"))
            time.sleep(1.5)
            assert watch.stop() < 2
    finally:
        world.faults.set()
        deaf.close()
    is_whole(watch.store)


def test_a_receiver_that_is_down_half_of_the_time_gets_everything_once_and_mail_arrives(world, tmp_path):
    class Mailbox:
        def __init__(self):
            self.letters = []

        async def handle_DATA(self, server, session, envelope):  # noqa: N802
            self.letters.append(envelope.content.decode())
            return "250 OK"

    mailbox = Mailbox()
    post = Controller(mailbox, hostname="127.0.0.1", port=0)
    post.port = free_port()
    post.start()
    try:
        with Hook(up=0.5, seed=3) as hook:
            toml = HOOKED.format(hook.url) + 'on = ["appeared", "gone"]\nper_hour = 1000\n'
            mail = f'mail = "mailto://127.0.0.1:{post.port}/?from=a@example.org&to=b@example.org&mode=insecure"\n'
            with Watched(tmp_path, world, toml.replace("[alerts", f"{mail}[alerts", 1)) as watch:
                watch.until("scan 6:")
                wait_for(lambda: hook.refused and len(hook.taken) >= 2 and len(mailbox.letters) >= 2)
                hook.up = 1.0
                watch.stop()
            with Watched(tmp_path, world, "", scans=1) as watch:  # a watch without rules still empties the outbox
                (tmp_path / "fairline.toml").write_text(f'[receivers]\nhook = "{hook.url}"\n{mail}')
                watch.__exit__()
                watch.command[-1:] = ["40"]
                watch.start()
                wait_for(lambda: not waiting(watch.store))
                watch.stop()
        sent = delivered(watch.store)
        assert Counter(hook.taken) == Counter((title, body) for receiver, title, body in sent if receiver == "hook")
        assert max(Counter(hook.taken).values()) == 1
        assert len(mailbox.letters) == len([1 for receiver, _, _ in sent if receiver == "mail"])
        assert any("all:" in letter for letter in mailbox.letters)
    finally:
        post.stop()


def free_port():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def waiting(store):
    return rows(store, "SELECT id FROM outbox WHERE delivered_ts IS NULL")


def delivered(store):
    return rows(store, "SELECT receiver, title, body FROM outbox WHERE delivered_ts IS NOT NULL")


def rows(store, query):
    database = sqlite3.connect(store / "state.sqlite", timeout=10)
    try:
        return database.execute(query).fetchall()
    finally:
        database.close()


def test_a_failing_model_is_benched_told_of_and_tried_again(world, tmp_path):
    toml = '[receivers]\nhook = "{}"\n'
    with Hook() as hook, Watched(tmp_path, world, toml.format(hook.url), model="broken.py:Broken") as watch:
        watch.process.kill()
        watch.process.wait()
        broken = (tmp_path / "model.py").read_text().replace("Above", "Broken").replace('"above"', '"broken"')
        (tmp_path / "broken.py").write_text(
            broken.replace(
                "        p = ", "        import pathlib\n        assert pathlib.Path('mended').exists()\n        p = "
            )
        )
        watch.start()
        watch.until("model broken is benched for 1 s: AssertionError")
        watch.until("model broken is benched for 2 s")
        wait_for(lambda: "Fairline: model broken" in hook.titles)
        (tmp_path / "mended").touch()
        wait_for(lambda: "Fairline: all clear (model broken)" in hook.titles)
        watch.stop()
    assert watch.read("edges").height > 0
    assert State(watch.store).benched() == {}


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
            assert watch.stop() < 2
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
    memory = [(at, mb) for at, mb in judged(*a_day(tmp_path, 600)) if mb is not None]
    if memory:
        # From the second quarter on: what is loaded once is loaded.
        late = np.array(memory[len(memory) // 4 :])
        slope = np.polyfit(late[:, 0] / 60, late[:, 1], 1)[0]
        record_property("megabytes a minute", float(slope))
        assert slope < 3, memory


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
    watch, hook = killed(tmp_path, world, 200)
    record_property("came twice", unbroken(watch, hook, 200))


def test_history_of_the_watch_can_be_asked_for_while_it_writes(world, tmp_path):
    with Watched(tmp_path, world) as watch:
        watch.until("scan 3:")
        for _ in range(20):
            store = Store(watch.store)
            ticker = store.read("edges")["ticker"][0]
            assert store.history(ticker).height >= 1
            assert store.asof(datetime.now(UTC) - timedelta(seconds=1)).height == 400
        watch.stop()
