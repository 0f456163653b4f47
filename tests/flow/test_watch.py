"""Around the clock in a minute: a watch as a process, an exchange that goes wrong, receivers that really listen."""

import json
import re
import signal
import socket
import time
import urllib.error
import urllib.request
from collections import Counter
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pytest
from aiosmtpd.controller import Controller

from fairline.sim import Fault
from fairline.store.store import Store
from fairline.watch.state import State
from tests.flow.watching import HOOKED, PROMPTLY, Hook, Watched, delivered, is_whole, wait_for, waiting


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_it_scans_keeps_tells_and_stops_when_asked(world, tmp_path):
    with (
        Hook() as hook,
        Watched(tmp_path, world, HOOKED.format(hook.url) + f'[watch]\nping = "{hook.ping}"\n') as watch,
    ):
        watch.until("scan 4:")
        assert hook.pings >= 3
        monitor = re.search(r"http://127\.0\.0\.1:\d+(?=/healthz)", watch.said())[0]
        code, body = get(f"{monitor}/healthz")
        assert (code, json.loads(body)["sees"], json.loads(body)["alarms"]) == (200, True, {})
        metrics = get(f"{monitor}/metrics")[1]
        values = dict(re.findall(r"^(fairline_\w+(?:\{.*\})?) ([\d.e+-]+)$", metrics, re.MULTILINE))
        assert float(values['fairline_scans_total{outcome="done"}']) >= 4
        assert float(values["fairline_markets"]) == 400
        assert float(values['fairline_requests_total{status="200"}']) > 8
        assert get(f"{monitor}/other")[0] == 404
        port = int(monitor.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)):  # says nothing, and keeps nobody waiting
            assert get(f"{monitor}/healthz")[0] == 200
        assert watch.stop() < PROMPTLY
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


PHASES = ("crawling", "no network", "a receiver that does not answer", "between scans", "a model computes")


@pytest.mark.parametrize("phase", PHASES)
def test_it_ends_within_two_seconds_whatever_it_is_doing(world, tmp_path, phase):
    deaf = socket.create_server(("127.0.0.1", 0))
    toml = HOOKED.format(f"json://127.0.0.1:{deaf.getsockname()[1]}/x") if phase.startswith("a receiver") else ""
    if phase == "crawling":
        world.faults.set(Fault("stall"))
    try:
        nowhere = SimpleNamespace(url="http://127.0.0.1:9/trade-api/v2")
        with Watched(tmp_path, nowhere if phase == "no network" else world, toml, every="20s") as watch:
            if phase == "a model computes":
                watch.process.kill()
                watch.process.wait()
                slow = (
                    (tmp_path / "model.py")
                    .read_text()
                    .replace("        p = ", "        import time; time.sleep(60)\n        p = ")
                )
                (tmp_path / "model.py").write_text(slow)
                watch.log.write_text("")
                watch.start()
            early = ("crawling", "no network", "a model computes")
            watch.until("Watching" if phase in early else "scan 1:")
            time.sleep(1.5)
            assert watch.stop() < PROMPTLY
    finally:
        world.faults.set()
        deaf.close()
    is_whole(watch.store)


def test_a_receiver_that_is_down_half_of_the_time_gets_everything_once_and_mail_arrives(world, tmp_path):
    class Mailbox:
        def __init__(self):
            self.letters = []

        async def handle_DATA(self, server, session, envelope):  # noqa: N802  the library's name
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
                watch.until("Watching", times=watch.said().count("Watching") + 1)
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
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


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


def test_history_of_the_watch_can_be_asked_for_while_it_writes(world, tmp_path):
    with Watched(tmp_path, world) as watch:
        watch.until("scan 3:")
        for _ in range(20):
            store = Store(watch.store)
            ticker = store.read("edges")["ticker"][0]
            assert store.history(ticker).height >= 1
            assert store.asof(datetime.now(UTC) - timedelta(seconds=1)).height == 400
        watch.stop()
