"""`fairline feed` and `fairline live` as processes."""

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import pytest
from cryptography.hazmat.primitives import serialization

from fairline.sim import Exchange, Fault, Key
from fairline.sim.catalog import WorldCatalog
from fairline.sim.world import World
from fairline.store.store import Store
from tests.flow.watching import MODEL


@pytest.fixture(scope="module")
def exchange(rsa_pem):
    public = serialization.load_pem_private_key(rsa_pem.encode(), None).public_key()
    world = World(400, moves=300, speed=10, seed=8)
    with Exchange(catalog=WorldCatalog(world), keys=[Key("k", public)]) as exchange:
        yield exchange


@pytest.fixture
def options(exchange, rsa_pem, tmp_path):
    path = tmp_path / "key.pem"
    path.write_text(rsa_pem)
    path.chmod(0o600)
    return ["--exchange", exchange.url, "--key-id", "k", "--key-file", str(path)]


def fairline(*arguments, cwd=None):
    return subprocess.run(
        [sys.executable, "-m", "fairline", *map(str, arguments)], capture_output=True, text=True, timeout=60, cwd=cwd
    )


def test_a_recording_can_be_rebuilt_and_agrees_with_itself(exchange, options, tmp_path):
    path = tmp_path / "frames.jsonl.gz"
    world = exchange.world
    tickers = [
        world.columns.ticker[row] for row in range(world.first, world.first + 400) if world.columns.status[row] == 1
    ]
    done = fairline("feed", *tickers[:40], "--record", path, "--seconds", "4", *options)
    assert done.returncode == 0, done.stderr
    assert "frames to" in done.stderr
    checked = fairline("feed", "--check", path, "--json")
    report = json.loads(checked.stdout)
    assert (report["gaps"], report["unknown"], report["unreadable"]) == (0, 0, 0)
    assert report["compared"] > 20
    assert report["equal"] == report["compared"]
    assert checked.returncode == 0
    text = fairline("feed", "--check", path).stdout
    assert f"{report['equal']:,} of {report['compared']:,} cases" in text


def test_a_recording_with_a_changed_size_disagrees(tmp_path):
    body = {"market_ticker": "A", "yes_dollars_fp": [["0.4000", "10.00"]], "no_dollars_fp": [["0.5000", "9.00"]]}
    quotes = {"yes_bid_dollars": "0.4000", "yes_ask_dollars": "0.5000", "yes_ask_size_fp": "9.00", "ts_ms": 5}
    frames = [
        {"type": "orderbook_snapshot", "sid": 2, "seq": 1, "msg": body},
        {"type": "ticker", "sid": 1, "msg": {"market_ticker": "A", "yes_bid_size_fp": "11.00"} | quotes},
    ]
    path = tmp_path / "frames.jsonl"
    path.write_text("".join(json.dumps({"received_ns": n, "frame": frame}) + "\n" for n, frame in enumerate(frames)))
    done = fairline("feed", "--check", path)
    assert done.returncode == 1
    assert "0 of 1 cases" in done.stdout
    assert "A at 5: ticker" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["feed"], "expected either --record FILE or --check FILE"),
        (["feed", "--check", "none.jsonl"], "is not a recording of the feed"),
        (["feed", "--record", "x.jsonl", "--exchange", "http://127.0.0.1:9"], "the feed needs an API key"),
        (["live", "--exchange", "http://127.0.0.1:9"], "the live feed needs an API key"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(arguments, message, tmp_path):
    done = fairline(*arguments, cwd=tmp_path)
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_live_needs_a_terminal(options, tmp_path):
    done = fairline("live", *options, cwd=tmp_path)
    assert "live needs a terminal" in done.stderr
    assert done.returncode == 2


def run_on_a_terminal(arguments, folder, keys, columns=80, seconds=40):
    """Run a command on a terminal of its own; send each key when the screen shows the text before it."""
    descriptor, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    command = [sys.executable, "-m", "fairline", *arguments]
    output, end, keys = b"", time.monotonic() + seconds, list(keys)
    with subprocess.Popen(command, cwd=folder, stdin=terminal, stdout=terminal, stderr=terminal) as process:
        os.close(terminal)
        while time.monotonic() < end:
            if not select.select([descriptor], [], [], 0.2)[0]:
                continue
            try:
                part = os.read(descriptor, 65536)
            except OSError:
                break
            output += part
            screen = output.decode(errors="replace").split("\x1b[H")[-1]
            if keys and keys[0][0] in screen:
                os.write(descriptor, keys.pop(0)[1].encode())
        if process.poll() is None and time.monotonic() >= end:
            process.kill()
        code = process.wait(timeout=20)
    os.close(descriptor)
    return output.decode(errors="replace"), code


def test_the_live_screen_shows_opportunities_takes_keys_and_leaves_the_terminal_as_it_was(exchange, options, tmp_path):
    (tmp_path / "model.py").write_text(MODEL)
    keys = [("feed open", "s"), ("by ev\x1b", "/kx\r"), ("filter: kx", "q")]
    output, code = run_on_a_terminal(["live", "model.py:Above", *options], tmp_path, keys)
    assert code == 0
    assert "feed open" in output
    assert "without current data" in output
    assert output.rstrip().endswith("\x1b[?1049l")
    screens = [screen.split("\x1b[?25h")[0] for screen in output.split("\x1b[H")[1:]]
    for screen in screens:
        lines = screen.replace("\x1b[K", "").replace("\x1b[J", "").splitlines()
        assert max(len(line) for line in lines) <= 80
    assert any(" KX" in screen or screen.count("KX") > 3 for screen in screens)


def test_a_live_screen_whose_feed_is_refused_ends_with_the_reason(exchange, options, tmp_path):
    (tmp_path / "model.py").write_text(MODEL)
    exchange.faults.set(Fault("feed-refused"))
    output, code = run_on_a_terminal(["live", "model.py:Above", *options], tmp_path, [])
    exchange.faults.set()
    assert code == 1
    assert "answered 401" in output


def test_a_live_watch_audits_in_a_process_of_its_own_and_prices_meanwhile(exchange, options, tmp_path):
    (tmp_path / "model.py").write_text('print("a model may print")\n' + MODEL)
    command = ["watch", "model.py:Above", "--live", "--audit-every", "4s", "--store", "store", "--port", "0", *options]
    log = tmp_path / "log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "fairline", *command], cwd=tmp_path, stdout=file, stderr=file, text=True
        )
        end = time.monotonic() + 60
        while "scan 3:" not in log.read_text() and time.monotonic() < end:
            assert process.poll() is None, log.read_text()
            time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0, log.read_text()
    assert "unexpected" not in log.read_text()
    store = Store(tmp_path / "store")
    assert set(store.read("scans")["outcome"]) == {"done"}
    scans, edges = store.read("scans")["seen_ts"].unique(), store.read("edges")["seen_ts"].unique()
    assert edges.len() > 2 * scans.len()
    assert store.read("quotes")["seen_ts"].n_unique() > 20


def test_an_audit_that_is_refused_is_an_error_of_the_watch(exchange, options, tmp_path):
    (tmp_path / "model.py").write_text("syntax error\n")
    done = fairline("watch", "model.py:Above", "--live", "--store", "store", "--port", "0", *options, cwd=tmp_path)
    assert done.returncode in (1, 2)


def test_the_errors_of_an_audit_come_back_as_they_were():
    from fairline.cli.audit import AuditFailure
    from fairline.errors import FairlineError
    from fairline.kalshi import KalshiError
    from fairline.kalshi.errors import AuthError

    refused = AuditFailure("the exchange denies access", "Check the key", 403).error()
    assert isinstance(refused, AuthError)
    assert refused.status == 403
    assert type(AuditFailure("no answer", "Try again").error()) is KalshiError
    assert type(AuditFailure("no file", "Give one", of_exchange=False).error()) is FairlineError
