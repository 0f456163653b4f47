"""What fairline.toml says of watching, and that what is secret stays so."""

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
from fairline.watch.service import containerfile, notifier, unit
from fairline.watch.settings import KEEP_DAYS, read_instructions

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
    return read_instructions((path,), environ)


def test_everything_is_read(tmp_path):
    made = read(tmp_path, GOOD, PHONE="tgram://1234:secret/chat", PING="https://hc.example/uuid")
    assert list(made.receivers) == ["phone", "hook"]
    assert (made.rules[0].name, made.rules[0].to, made.rules[0].min_edge) == ("large", ("phone",), 5.0)
    assert made.dead_man == timedelta(minutes=5)
    assert made.keep_days == KEEP_DAYS | {"quotes": 7}
    assert made.warnings == ()
    assert "secret" not in repr(made)
    assert "uuid" not in repr(made)


def test_the_same_file_still_has_the_settings_of_the_exchange(tmp_path):
    from fairline.config.settings import load_settings

    path = tmp_path / "fairline.toml"
    path.write_text(GOOD)
    assert load_settings(environ={}, files=(path,)).exchange == "demo"


def test_without_a_file_there_is_nothing_to_tell_and_nobody(tmp_path):
    made = read_instructions((tmp_path / "none.toml",), {})
    assert (made.receivers, made.rules, made.ping()) == ({}, (), None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[receivers]\nx = "nothing"', "the receiver 'x' has an address that Apprise does not take (no address)"),
        ('[receivers]\nx = "nope://user:secret@host"', "does not take (nope)"),
        ('[receivers]\nx = "env:GONE"', "the environment has no GONE"),
        ("[receivers]\nx = 3", "the receiver 'x' must be text"),
        ("receivers = 3", "receivers must be a table"),
        ("[alerts]\nx = 3", "alerts.x must be a table"),
        ('[alerts.x]\nto = ["mum"]', "alerts.x tells 'mum', which is no receiver. There are: none"),
        ('[watch]\ndead_man = "soon"', "not 'soon'"),
        ("[watch]\nevery = 5", "watch has an unknown setting 'every'"),
        ("[watch.keep]\nquote = 5", "watch.keep names 'quote'"),
        ("[watch.keep]\nquotes = 0.5", "quotes = 0.5 is no number of days"),
    ],
)
def test_what_cannot_be_meant_is_one_line_without_the_secret(tmp_path, text, words):
    with pytest.raises(ConfigError) as raised:
        read(tmp_path, text)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)
    assert "secret" not in str(raised.value)


def test_addresses_in_a_file_that_others_can_read_are_warned_of(tmp_path):
    path = tmp_path / "fairline.toml"
    path.write_text('[receivers]\nx = "json://127.0.0.1/x"\n')
    path.chmod(0o644)
    assert "can be read by others: chmod 600" in read_instructions((path,), {}).warnings[0]


@pytest.mark.parametrize("system", [False, True])
def test_the_unit_is_one_that_systemd_takes(tmp_path, system):
    home = tmp_path / "a folder, 100 % of $it's"
    home.mkdir()
    command = ["/bin/true", "watch", "--store", str(home)]
    text = unit(command, home / "environment", [home], here=home, system=system)
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


def test_the_containerfile_keeps_the_store_in_a_volume_and_is_no_root():
    text = containerfile(["--model", 'a"b'])
    assert "USER fairline" in text
    assert "VOLUME /store" in text
    assert r'CMD ["--model", "a\"b"]' in text
    assert text.index("USER") < text.index("ENTRYPOINT")


def test_systemd_is_told_and_nobody_is_if_there_is_none(tmp_path):
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        listener.settimeout(2)
        notifier(address)("READY=1")
        assert listener.recv(100) == b"READY=1"
    Path(address).unlink()
    notifier(address)("WATCHDOG=1")
    notifier("")("WATCHDOG=1")


def test_alarms_say_what_is_wrong_and_not_what_is_known_to_pause():
    health, hour = Health(NOW), timedelta(minutes=10)
    assert health.alarms(NOW + timedelta(minutes=9), hour) == {}
    assert "no complete scan since 2026-11-23 12:00" in health.alarms(NOW + hour, hour)["blind"]
    health.trouble = {"paused": "the exchange is paused"}
    assert list(health.alarms(NOW + hour, hour)) == ["paused"]
    health.active(NOW + hour)
    assert health.alarms(NOW + hour, hour) == {}, "who waited for a pause to end is not blind when it does"
    health.read(NOW + hour, complete=True, why="")
    health.skew, health.free_bytes = Skew(45.0, 0.5), 10
    assert set(health.alarms(NOW + hour, hour)) == {"clock", "disk"}
    health.skew, health.free_bytes = Skew(9.0, 0.5), None
    health.failing, health.failures = {"elo": "no payload"}, {"elo": 2}
    assert health.alarms(NOW + hour, hour) == {}
    health.failures["elo"] = 3
    assert health.alarms(NOW + hour, hour) == {"model elo": "the model elo fails: no payload"}
    assert dataclasses.replace(health, failing={}).alarms(NOW + hour, hour) == {}


def test_an_alarm_that_was_on_before_a_restart_is_until_the_opposite_is_seen():
    health, hour = Health(NOW), timedelta(minutes=10)
    health.restore({"blind": "no complete scan", "refused": "401", "model elo": "the model elo fails: no payload",
                    "disk": "only 10 MB", "clock": "45 s"})  # fmt: skip
    assert set(health.alarms(NOW, hour)) == {"blind", "refused", "model elo", "disk", "clock"}
    health.read(NOW, complete=False, why="a window is missing")
    assert set(health.alarms(NOW, hour)) == {"blind", "model elo", "disk", "clock"}
    health.read(NOW, complete=True, why="")
    health.free_bytes, health.skew = 10**12, Skew(0.1, 0.5)
    health.forget({"polls"})
    assert health.alarms(NOW, hour) == {}


def test_an_alarm_does_not_flap_at_its_threshold():
    health, hour = Health(NOW), timedelta(minutes=10)
    health.free_bytes, health.skew = 250_000_000, Skew(9.5, 0.5)
    assert health.alarms(NOW, hour) == {}
    assert set(health.alarms(NOW, hour, on=["disk", "clock"])) == {"disk", "clock"}


def test_log_lines_are_for_a_person_or_json(capsys):
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
