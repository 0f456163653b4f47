"""The tutorial on a first backtest, followed from the page alone."""

import re
import shlex
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "first-backtest.md").read_text()
COMMANDS = re.findall(r"^\$ (.*)$", PAGE, re.MULTILINE)
MODEL = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)[1]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def command(line, port):
    """Return a line of the page as arguments, with this interpreter's Fairline and a free port."""
    arguments = shlex.split(line.replace("8080", str(port)))
    return [sys.executable, "-m", "fairline", *arguments[1:]] if arguments[0] == "fairline" else arguments


@pytest.fixture
def place(tmp_path):
    (tmp_path / "mine.py").write_text(MODEL)
    port = free_port()
    exchange = subprocess.Popen(command(COMMANDS[0], port), cwd=tmp_path, stdout=subprocess.DEVNULL)
    try:
        for _ in range(200):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/trade-api/v2/exchange/status", timeout=5).close()
                break
            except OSError:
                time.sleep(0.1)
        yield tmp_path, port
    finally:
        exchange.kill()
        exchange.wait()


def test_every_step_of_the_tutorial_works(place):
    folder, port = place
    outputs = []
    for line in COMMANDS[1:]:
        done = subprocess.run(command(line, port), cwd=folder, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, (line, done.stderr[-2000:])
        outputs.append(done.stdout)
    watched, first, _, second, runs = outputs
    assert "No look-ahead" in first
    assert (folder / "run.html").exists()
    promises = [float(re.search(r"^  all +\d+ +([+-][\d.]+)", text, re.MULTILINE)[1]) for text in (first, second)]
    assert promises[1] > promises[0] > 0
    assert len(re.findall(r"mine [12]$", runs, re.MULTILINE)) == 2
    assert watched == "" or "scan" in watched
