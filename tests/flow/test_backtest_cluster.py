"""A backtest on a Dask cluster gives the bytes of one process, and a killed worker costs only its block."""

import os
import signal
import time
import warnings
from threading import Thread

import psutil
import pytest

import fairline
from fairline.errors import UsageError
from tests.flow.test_backtest import MODEL
from tests.unit.backtesting.recorded import record

distributed = pytest.importorskip("distributed", reason="the extra dask is not installed")


@pytest.fixture
def cluster():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
        ) as running:
            yield running


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "optimist.py"
    path.write_text(MODEL)
    return f"{path}:Optimist"


def files_of(store):
    folder = next((store / "backtests").iterdir())
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*.parquet"))}


def test_a_cluster_gives_the_bytes_of_one_process(cluster, model, tmp_path):
    first, second = (record(tmp_path / name).folder for name in ("first", "second"))
    options = {"max_spread": 50.0, "refit": "8h"}
    fairline.backtest(model, store=first, **options)
    fairline.backtest(model, store=second, scheduler=cluster.scheduler_address, **options)
    assert files_of(first) == files_of(second)


def test_a_killed_worker_costs_only_its_block(cluster, model, tmp_path):
    first, second = (record(tmp_path / name).folder for name in ("first", "second"))
    options = {"max_spread": 50.0, "every": "10m"}
    fairline.backtest(model, store=first, **options)

    def kill_a_worker():
        time.sleep(0.5)
        worker = next(
            child for child in psutil.Process().children(recursive=True) if "spawn" in " ".join(child.cmdline())
        )
        os.kill(worker.pid, signal.SIGKILL)

    killer = Thread(target=kill_a_worker)
    killer.start()
    fairline.backtest(model, store=second, scheduler=cluster.scheduler_address, **options)
    killer.join()
    assert files_of(first) == files_of(second)


def test_an_address_without_a_scheduler_is_one_error(model, tmp_path):
    with pytest.raises(UsageError, match="no Dask scheduler answers"):
        fairline.backtest(model, store=record(tmp_path / "store").folder, scheduler="tcp://127.0.0.1:9")
