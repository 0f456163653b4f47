"""Inside isolation, code is imported and nothing else is opened."""

import io
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

from fairline.models.isolation import IsolationError, isolate

CSV = b"ticker,p\nA,0.5\n"


def read_text(path):
    return path.read_text()


def read_table(path):
    return pl.read_csv(path)


@pytest.mark.parametrize(
    "attempt",
    [
        read_text,
        read_table,
        lambda path: pl.scan_csv(str(path)).collect(),
        lambda path: np.loadtxt(path, dtype=str),
        lambda path: open(path, "rb").read(),  # noqa: PTH123, SIM115 - as a careless model would
        lambda _: subprocess.run([sys.executable, "--version"]),
        lambda _: socket.create_connection(("127.0.0.1", 9)),
        lambda _: socket.getaddrinfo("localhost", 80),
    ],
)
def test_files_the_network_and_processes_are_refused(tmp_path, attempt):
    path = tmp_path / "today.csv"
    path.write_bytes(CSV)
    with isolate(), pytest.raises(IsolationError, match="the model"):
        attempt(path)


def test_an_attempt_that_the_model_swallows_is_noticed(tmp_path):
    with isolate() as violations, suppress(Exception):
        (tmp_path / "today.csv").read_text()
    assert violations == [f"opened the file {tmp_path / 'today.csv'}"]


def test_an_allowed_folder_can_be_read(tmp_path):
    (tmp_path / "teams.toml").write_text("")
    with isolate(tmp_path) as violations:
        assert (tmp_path / "teams.toml").read_text() == ""
    assert violations == []


def test_given_bytes_code_and_time_zones_stay_readable():
    with isolate():
        assert pl.read_csv(io.BytesIO(CSV)).height == 1
        assert ZoneInfo("America/Anchorage").key
        import colorsys  # a module that nothing else here imports

        assert colorsys


def test_outside_isolation_everything_works_again(tmp_path):
    path = tmp_path / "today.csv"
    path.write_bytes(CSV)
    with isolate():
        pass
    assert pl.read_csv(path).height == 1
    assert Path(path).read_bytes() == CSV
