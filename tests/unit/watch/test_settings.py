"""What fairline.toml says about watching, that secrets stay secret, and the alarms."""

import dataclasses
import logging
import os
import shutil
import socket
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fairline.cli.logs import log_to_stderr
from fairline.errors import ConfigError
from fairline.kalshi.clock import Skew
from fairline.watch.health import Health
from fairline.watch.service import containerfile, supervisor_notifier, systemd_unit
from fairline.watch.settings import KEEP_DAYS, read_watch_settings

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
GOOD = """
exchange = "demo"

[receivers]
phone = "env:PHONE"
hook = "json://127.0.0.1:1/x"

[alerts.large]
to = ["phone"]
min_edge = 5

[watch]
dead_man = "5m"
ping = "env:PING"
[watch.keep]
quotes = 7
"""


def read(tmp_path, text, **environ):
    path = tmp_path / "fairline.toml"
    path.write_text(text)
    path.chmod(0o600)
    return read_watch_settings((path,), environ)


def test_all_settings_are_read(tmp_path):
    settings = read(tmp_path, GOOD, PHONE="tgram://1234:secret/chat", PING="https://hc.example/uuid")
    assert list(settings.receivers) == ["phone", "hook"]
    rule = settings.rules[0]
    assert (rule.name, rule.to, rule.min_edge) == ("large", ("phone",), 5.0)
    assert settings.dead_man == timedelta(minutes=5)
    assert settings.keep_days == KEEP_DAYS | {"quotes": 7}
    assert settings.warnings == ()
    assert "secret" not in repr(settings)
    assert "uuid" not in repr(settings)


def test_the_same_file_contains_the_settings_of_the_exchange(tmp_path):
    from fairline.config.settings import load_settings

    path = tmp_path / "fairline.toml"
    path.write_text(GOOD)
    assert load_settings(environ={}, files=(path,)).exchange == "demo"


def test_without_a_file_there_are_no_receivers_and_no_rules(tmp_path):
    settings = read_watch_settings((tmp_path / "none.toml",), {})
    assert (settings.receivers, settings.rules, settings.pinger()) == ({}, (), None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[receivers]\nx = "nothing"', "Apprise does not support the address of receiver 'x' (no scheme)"),
        ('[receivers]\nx = "nope://user:secret@host"', "of receiver 'x' (nope)"),
        ('[receivers]\nx = "env:GONE"', "the environment variable GONE is not set"),
        ("[receivers]\nx = 3", "invalid x in [receivers] of FILE: expected a text: an Apprise URL, or env:NAME"),
        ("receivers = 3", "invalid receivers in FILE: expected a table"),
        ("[alerts]\nx = 3", "invalid [alerts.x] of FILE: expected a table"),
        ('[alerts.x]\nto = ["mum"]', "invalid to in [alerts.x] of FILE: 'mum' is not a receiver. Receivers: none"),
        ('[watch]\ndead_man = "soon"', "invalid dead_man in [watch] of FILE: expected a duration of a second or more"),
        ('[watch]\ndead_man = "0.5s"', "invalid dead_man in [watch] of FILE: expected a second or more"),
        ("[watch]\nping = 5", "invalid ping in [watch] of FILE: expected a text: an address, or env:NAME"),
        ("[watch.keep]\nquote = 5", "invalid keep in [watch] of FILE: expected a table of whole days from 1 to 36500"),
        ("[watch.keep]\nquotes = 0.5", "invalid keep in [watch] of FILE: expected a table of whole days"),
        ("[watch.keep]\nquotes = 0", "invalid keep in [watch] of FILE: expected a table of whole days"),
        ("[watch]\nkeep = 3", "invalid keep in [watch] of FILE: expected a table of whole days"),
    ],
)
def test_invalid_settings_are_one_line_with_the_expectation_and_without_secrets(tmp_path, text, expected):
    with pytest.raises(ConfigError) as raised:
        read(tmp_path, text)
    assert expected in str(raised.value).replace(str(tmp_path / "fairline.toml"), "FILE")
    assert "\n" not in str(raised.value)
    assert "secret" not in str(raised.value)


def test_a_file_with_addresses_that_others_can_read_is_warned_about(tmp_path):
    path = tmp_path / "fairline.toml"
    path.write_text('[receivers]\nx = "json://127.0.0.1/x"\n')
    path.chmod(0o644)
    assert (
        "contains secret addresses and other users can read it: run chmod 600"
        in read_watch_settings((path,), {}).warnings[0]
    )


@pytest.mark.parametrize("system", [False, True])
def test_systemd_accepts_the_unit(tmp_path, system):
    home = tmp_path / "a folder, 100 % of $it's"
    home.mkdir()
    command = ["/bin/true", "watch", "--store", str(home)]
    text = systemd_unit(command, home / "environment", [home], here=home, system=system)
    path = tmp_path / "fairline.service"
    path.write_text(text)
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    command = ["systemd-analyze", "verify", "--man=no", *([] if system else ["--user"]), str(path)]
    done = subprocess.run(command, capture_output=True, text=True,
                          env=os.environ | {"XDG_RUNTIME_DIR": str(tmp_path)})  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "fairline.service" not in done.stderr, done.stderr
    for setting in ("Type=notify", "WatchdogSec=", "NoNewPrivileges=yes", "Restart=on-failure"):
        assert setting in text
    assert ("ProtectSystem=strict" in text) == ("CapabilityBoundingSet=" in text) == system


def test_the_container_stores_in_a_volume_and_does_not_run_as_root():
    text = containerfile(["--model", 'a"b'])
    assert "USER fairline" in text
    assert "VOLUME /store" in text
    assert r'CMD ["--model", "a\"b"]' in text
    assert text.index("USER") < text.index("ENTRYPOINT")


def test_systemd_is_notified_only_if_it_listens(tmp_path):
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        listener.settimeout(2)
        supervisor_notifier(address)("READY=1")
        assert listener.recv(100) == b"READY=1"
    Path(address).unlink()
    supervisor_notifier(address)("WATCHDOG=1")
    supervisor_notifier("")("WATCHDOG=1")


def test_alarms_state_what_is_wrong_and_a_known_pause_is_no_outage():
    health, hour = Health(NOW), timedelta(minutes=10)
    assert health.alarms(NOW + timedelta(minutes=9), hour) == {}
    assert "no complete scan since 2026-11-23 12:00" in health.alarms(NOW + hour, hour)["outage"]
    health.errors = {"paused": "the exchange is paused"}
    assert list(health.alarms(NOW + hour, hour)) == ["paused"]
    health.record_open_exchange(NOW + hour)
    assert health.alarms(NOW + hour, hour) == {}, "the time of a pause does not count"
    health.record_scan(NOW + hour, complete=True, reason="")
    health.skew, health.free_bytes = Skew(45.0, 0.5), 10
    assert set(health.alarms(NOW + hour, hour)) == {"clock", "disk"}
    health.skew, health.free_bytes = Skew(9.0, 0.5), None
    health.failing, health.failures = {"elo": "no payload"}, {"elo": 2}
    assert health.alarms(NOW + hour, hour) == {}
    health.failures["elo"] = 3
    assert health.alarms(NOW + hour, hour) == {"model elo": "model elo fails: no payload"}
    assert dataclasses.replace(health, failing={}).alarms(NOW + hour, hour) == {}


def test_an_alarm_from_before_a_restart_stays_until_its_opposite_is_seen():
    health, hour = Health(NOW), timedelta(minutes=10)
    health.restore({"outage": "no complete scan", "refused": "401", "model elo": "the model elo fails: no payload",
                    "disk": "only 10 MB", "clock": "45 s"})  # fmt: skip
    assert set(health.alarms(NOW, hour)) == {"outage", "refused", "model elo", "disk", "clock"}
    health.record_scan(NOW, complete=False, reason="a window is missing")
    assert set(health.alarms(NOW, hour)) == {"outage", "model elo", "disk", "clock"}
    health.record_scan(NOW, complete=True, reason="")
    health.free_bytes, health.skew = 10**12, Skew(0.1, 0.5)
    health.keep_models({"polls"})
    assert health.alarms(NOW, hour) == {}


def test_an_alarm_does_not_flap_at_its_threshold():
    health, hour = Health(NOW), timedelta(minutes=10)
    health.free_bytes, health.skew = 250_000_000, Skew(9.5, 0.5)
    assert health.alarms(NOW, hour) == {}
    assert set(health.alarms(NOW, hour, active=["disk", "clock"])) == {"disk", "clock"}


def test_log_lines_are_text_or_json(capsys):
    import json

    logger = logging.getLogger("fairline.watch")
    try:
        log_to_stderr("json")
        logger.warning("scan %d: “quoted”", 3)
        got = json.loads(capsys.readouterr().err)
        assert (got["level"], got["message"], got["logger"]) == ("warning", "scan 3: “quoted”", "fairline.watch")
        assert datetime.fromisoformat(got["ts"]).tzinfo is not None
        log_to_stderr("text")
        logger.info("hello")
        assert capsys.readouterr().err.endswith("  hello\n")
    finally:
        root = logging.getLogger("fairline")
        root.handlers.clear()
        root.propagate = True
