"""The commands `ingest` and `store` at the command line."""

import json
import shutil
from pathlib import Path

import pytest

from fairline.store.store import Store
from tests.flow.test_cli import fairline, one_line  # noqa: F401  a fixture

ROOT = Path(__file__).resolve().parents[2]


def run(fairline, *arguments):  # noqa: F811
    done = fairline(*arguments)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture
def series(world):
    columns = world.world.columns
    event = int(columns.event[columns.bid > 0][0])
    return world.world.series[world.world.events[event].series].ticker


def test_a_plan_states_requests_and_reads_no_candles(fairline, world, series, tmp_path):  # noqa: F811
    options = ("--series", series.lower(), "--since", "3d", "--exchange", world.url, "--into", tmp_path / "past")
    done = run(fairline, "ingest", "exchange", *options, "--plan")
    assert "requests" in done.stderr
    assert "tokens" in done.stderr
    assert "MB" in done.stderr
    assert Store(tmp_path / "past").read("quotes").is_empty()


def test_a_series_is_ingested_checked_and_measured(fairline, world, series, tmp_path):  # noqa: F811
    options = ("--series", series, "--since", "1d", "--exchange", world.url, "--into", tmp_path / "past")
    done = run(fairline, "ingest", "exchange", *options, "--trades")
    assert "candles" in done.stderr
    assert Store(tmp_path / "past").read("quotes").height > 0
    assert "undamaged" in run(fairline, "store", "check", "--store", tmp_path / "past").stderr
    sizes = json.loads(run(fairline, "store", "size", "--store", tmp_path / "past", "--json").stdout)
    assert {row["dataset"] for row in sizes} >= {"quotes", "facts", "coverage"}
    one_line(fairline("ingest", "exchange", *options[:4], "--into", tmp_path / "past"), 1, "holds markets of 127.0.0.1")


def test_a_damaged_store_is_named_with_exit_code_1(fairline, tmp_path):  # noqa: F811
    write(tmp_path)
    run(fairline, "ingest", "table", tmp_path / "q.csv", "--map", tmp_path / "map.toml", "--into", tmp_path / "past")
    [path] = (tmp_path / "past").glob("quotes/*/*.parquet")
    path.write_bytes(path.read_bytes()[:-9])
    done = fairline("store", "check", "--store", tmp_path / "past", "--json")
    assert done.returncode == 1
    assert "differs from its hash" in done.stdout
    assert "damaged or missing. Restore" in done.stderr


def write(folder):
    (folder / "q.csv").write_text("at,market,bid,ask\n2026-01-05T12:00:00Z,A,0.4,0.45\n")
    (folder / "map.toml").write_text(
        'name = "mine"\n[[rows]]\ndataset = "quotes"\ntime = { column = "at" }\n'
        'columns = { ticker = "market", yes_bid = "bid", yes_ask = "ask" }\n'
    )


def test_a_table_is_ingested_once(fairline, tmp_path):  # noqa: F811
    write(tmp_path)
    command = ("ingest", "table", tmp_path / "q.csv", "--map", tmp_path / "map.toml", "--into", tmp_path / "past")
    assert "quotes: 1 of 1 rows" in run(fairline, *command).stderr
    assert "was ingested with this map before" in run(fairline, *command).stderr


def test_daily_files_are_ingested_by_name(fairline, tmp_path):  # noqa: F811
    row = {"date": "2026-06-12", "ticker_name": "A", "create_ts": "2026-06-12T14:00:00Z", "contracts_traded": "1",
           "price": "57"}  # fmt: skip
    (tmp_path / "trade_data_2026-06-12.json").write_text(json.dumps([row]))
    done = run(fairline, "ingest", "daily", tmp_path / "trade_data_2026-06-12.json", "--into", tmp_path / "past")
    assert "trade_data_2026-06-12.json: 1 rows" in done.stderr
    one_line(fairline("ingest", "daily", "--into", tmp_path / "past"), 2, "expected either files or --since")


def test_an_old_store_is_migrated_by_the_command_that_its_error_names(fairline, tmp_path):  # noqa: F811
    shutil.copytree(ROOT / "tests" / "unit" / "store" / "v1", tmp_path / "old")
    one_line(
        fairline("store", "size", "--store", tmp_path / "old"), 1, "Migrate it with: fairline store migrate --store"
    )
    assert "Rewrote 7 files" in run(fairline, "store", "migrate", "--store", tmp_path / "old").stderr
    assert "has today's version" in run(fairline, "store", "migrate", "--store", tmp_path / "old").stderr
    run(fairline, "store", "size", "--store", tmp_path / "old")
