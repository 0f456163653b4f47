"""A watch as a process: schedule, alerts, settings, suspensions and stopping."""

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
from tests.flow.watching import (
    HOOKED,
    STOP_S,
    Hook,
    Watched,
    check_readable,
    delivered_messages,
    undelivered_ids,
    wait_for,
)


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_a_watch_scans_stores_notifies_and_stops_on_request(world, tmp_path):
    with (
        Hook() as hook,
        Watched(tmp_path, world, HOOKED.format(hook.url) + f'[watch]\nping = "{hook.ping}"\n') as watch,
    ):
        watch.until("scan 4:")
        assert hook.pings >= 3
        monitor = re.search(r"http://127\.0\.0\.1:\d+(?=/healthz)", watch.output())[0]
        code, body = get(f"{monitor}/healthz")
        assert (code, json.loads(body)["healthy"], json.loads(body)["alarms"]) == (200, True, {})
        metrics = get(f"{monitor}/metrics")[1]
        values = dict(re.findall(r"^(fairline_\w+(?:\{.*\})?) ([\d.e+-]+)$", metrics, re.MULTILINE))
        assert float(values['fairline_scans_total{outcome="done"}']) >= 4
        assert float(values["fairline_markets"]) == 400
        assert float(values['fairline_requests_total{status="200"}']) > 8
        assert get(f"{monitor}/other")[0] == 404
        port = int(monitor.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)):  # an idle client blocks no other
            assert get(f"{monitor}/healthz")[0] == 200
        assert watch.stop() < STOP_S
    assert "Stopped." in watch.output()
    scans, edges = watch.read("scans"), watch.read("edges")
    assert set(scans["outcome"]) == {"done"}
    assert edges.filter(change="appeared").height > 0
    assert "all: " in hook.titles[0]
    bodies = "\n".join(body for _, body in hook.accepted)
    assert any(ticker in bodies for ticker in edges["ticker"].unique())
    assert Store(watch.store).asof(datetime.now(UTC)).height == 400


def test_scans_start_on_schedule_and_do_not_drift(world, tmp_path):
    with Watched(tmp_path, world, scans=6) as watch:
        assert watch.process.wait(timeout=60) == 0
    begun = watch.read("scans")["started_ts"].to_list()
    since = np.array([(at - begun[0]).total_seconds() for at in begun])
    # Each starts a whole number of ticks after the first, up to a tenth later at random, or later on a busy machine.
    assert all(-0.3 < offset - round(offset) < 0.6 for offset in since)
    assert len({round(offset) for offset in since}) == 6


def test_a_second_watch_of_the_same_store_is_refused(world, tmp_path):
    with Watched(tmp_path, world) as first:
        first.until("scan 1:")
        (tmp_path / "second").mkdir()
        with Watched(tmp_path / "second", world, store=first.store) as second:
            assert second.process.wait(timeout=30) == 1
        assert f"process {first.process.pid} is writing to the store" in second.output()
        assert "Traceback" not in second.output()


def test_settings_are_reloaded_and_invalid_ones_change_nothing(world, tmp_path):
    with Hook() as hook, Watched(tmp_path, world, "") as watch:
        watch.until("scan 1:")
        (tmp_path / "fairline.toml").write_text("[alerts.x]\nmin_egde = 3\n")
        watch.process.send_signal(signal.SIGHUP)
        watch.until("settings not changed: unknown key 'min_egde' in [alerts.x] of fairline.toml")
        assert hook.accepted == []
        (tmp_path / "fairline.toml").write_text(HOOKED.format(hook.url))
        watch.process.send_signal(signal.SIGHUP)
        watch.until("settings reloaded")
        wait_for(lambda: hook.accepted)
        watch.stop()


PHASES = ("crawling", "no network", "a receiver that does not answer", "between scans", "a model computes")


@pytest.mark.parametrize("phase", PHASES)
def test_a_watch_stops_within_two_seconds_in_every_phase(world, tmp_path, phase):
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
            assert watch.stop() < STOP_S
    finally:
        world.faults.set()
        deaf.close()
    check_readable(watch.store)


def test_an_unreliable_receiver_gets_every_message_once_and_mail_arrives(world, tmp_path):
    class Mailbox:
        def __init__(self):
            self.messages = []

        async def handle_DATA(self, server, session, envelope):  # noqa: N802  the library's name
            self.messages.append(envelope.content.decode())
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
                wait_for(lambda: hook.rejected and len(hook.accepted) >= 2 and len(mailbox.messages) >= 2)
                hook.up = 1.0
                watch.stop()
            with Watched(
                tmp_path, world, "", scans=1
            ) as watch:  # a watch without rules still delivers pending messages
                (tmp_path / "fairline.toml").write_text(f'[receivers]\nhook = "{hook.url}"\n{mail}')
                watch.__exit__()
                watch.command[-1:] = ["40"]
                watch.start()
                watch.until("Watching", times=watch.output().count("Watching") + 1)
                wait_for(lambda: not undelivered_ids(watch.store))
                watch.stop()
        sent = delivered_messages(watch.store)
        assert Counter(hook.accepted) == Counter((title, body) for receiver, title, body in sent if receiver == "hook")
        assert max(Counter(hook.accepted).values()) == 1
        assert len(mailbox.messages) == len([1 for receiver, _, _ in sent if receiver == "mail"])
        assert any("all:" in message for message in mailbox.messages)
    finally:
        post.stop()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def test_a_failing_model_is_suspended_reported_and_tried_again(world, tmp_path):
    toml = '[receivers]\nhook = "{}"\n'
    with Hook() as hook, Watched(tmp_path, world, toml.format(hook.url), model="broken.py:Broken") as watch:
        watch.process.kill()
        watch.process.wait()
        broken = (tmp_path / "model.py").read_text().replace("Above", "Broken").replace('"above"', '"broken"')
        (tmp_path / "broken.py").write_text(
            broken.replace(
                "        p = ", "        import pathlib\n        assert pathlib.Path('repaired').exists()\n        p = "
            )
        )
        watch.start()
        watch.until("model broken is suspended for 1 s: AssertionError")
        watch.until("model broken is suspended for 2 s")
        wait_for(lambda: "Fairline: model broken" in hook.titles)
        (tmp_path / "repaired").touch()
        wait_for(lambda: "Fairline: resolved (model broken)" in hook.titles)
        watch.stop()
    assert watch.read("edges").height > 0
    assert State(watch.store).suspensions() == {}


def test_the_store_can_be_read_while_the_watch_writes(world, tmp_path):
    with Watched(tmp_path, world) as watch:
        watch.until("scan 3:")
        for _ in range(20):
            store = Store(watch.store)
            ticker = store.read("edges")["ticker"][0]
            assert store.history(ticker).height >= 1
            assert store.asof(datetime.now(UTC) - timedelta(seconds=1)).height == 400
        watch.stop()
