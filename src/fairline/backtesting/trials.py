"""Every run is kept, and the best of them is judged as the best of them.

Of twenty variants one looks good by chance. The record of all runs over a store tells how good the best one would look
if none of them were any good.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import msgspec
import numpy as np
import polars as pl

from fairline.backtesting.trades import judge
from fairline.errors import StoreError
from fairline.inference import BestOfMany, check_best_of_many
from fairline.store.store import Store

FOLDER = "backtests"
"""Where a store keeps its runs."""
_DATASETS = ("quotes", "facts", "settlements", "scans", "inputs", "trades", "depth")


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What was tested: enough to repeat it, and to tell whether two runs saw the same data."""

    id: str
    created_ts: datetime
    models: dict[str, str]
    since: datetime
    until: datetime
    options: dict[str, str]
    data_hash: str
    complete: bool = False


def run_id(models: dict[str, str], since: datetime, until: datetime, options: dict[str, str], data_hash: str) -> str:
    """Return the identity of a run: the same question over the same data has the same id, so it can be resumed."""
    text = msgspec.json.encode([models, since.isoformat(), until.isoformat(), options, data_hash], order="sorted")
    return hashlib.sha256(text).hexdigest()[:12]


def hash_data(store: Store) -> str:
    """Return a hash of the names and sizes of the files that a backtest reads.

    Files of a store are never changed in place, so a name and a size stand for a content.
    """
    digest = hashlib.sha256()
    for dataset in _DATASETS:
        for path in sorted((store.folder / dataset).rglob("*.parquet")):
            digest.update(f"{path.relative_to(store.folder)}:{path.stat().st_size}\n".encode())
    return digest.hexdigest()[:16]


def run_folder(store: Store, identity: str) -> Path:
    return store.folder / FOLDER / identity


def save_run(store: Store, run: Run, trades: pl.DataFrame) -> None:
    """Keep a finished run with its trades. Raises `StoreError`."""
    folder = run_folder(store, run.id)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / ".trades.writing"
        trades.write_parquet(part, compression="zstd")
        part.replace(folder / "trades.parquet")
        part = folder / ".run.writing"
        part.write_bytes(msgspec.json.format(msgspec.json.encode(run)))
        part.replace(folder / "run.json")
    except OSError as error:
        raise StoreError(f"cannot write {folder} ({error.strerror})", remedy="Check the disk") from error


def list_runs(store: Store) -> list[Run]:
    """Return all finished runs of a store, the oldest first. A damaged record is named in `store.warnings`."""
    runs = []
    for path in sorted((store.folder / FOLDER).glob("*/run.json")):
        try:
            runs.append(msgspec.json.decode(path.read_bytes(), type=Run))
        except (OSError, msgspec.DecodeError) as error:
            store.warnings.append(f"{path.relative_to(store.folder)} cannot be read ({error})")
    return sorted(runs, key=lambda run: run.created_ts)


def read_trades(store: Store, run: Run) -> pl.DataFrame:
    """Return the TRADES of a run. Raises `StoreError`."""
    path = run_folder(store, run.id) / "trades.parquet"
    try:
        return pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise StoreError(f"{path} cannot be read ({error})", remedy="Delete its folder and repeat the run") from error


def correct_for_trials(runs: Sequence[tuple[str, pl.DataFrame]], *, seed: int = 0) -> BestOfMany | None:
    """Test the best of several runs, given as (id, TRADES), against having been chosen among all of them.

    A trade's gain is its profit per contract less the mean of both sides of the same trade: what choosing the side
    brought, without the drift of the market's fees and spread. None without two events with settled trades.
    """
    gains = [_gains(trades).rename({"gain": f"run {number}"}) for number, (_, trades) in enumerate(runs)]
    if not gains:
        return None
    together = gains[0]
    for part in gains[1:]:
        together = together.join(part, on="event_ticker", how="full", coalesce=True)
    if together.height < 2:
        return None
    matrix = together.drop("event_ticker").fill_null(0.0).to_numpy().astype(np.float64)
    return check_best_of_many(matrix, together["event_ticker"].to_list(), seed=seed)


def _gains(trades: pl.DataFrame) -> pl.DataFrame:
    """Return `{event_ticker, gain}`: the sum of an event's gains in dollars per contract."""
    judged = judge(trades).filter(pl.col("either_side").is_not_null())
    return judged.group_by("event_ticker").agg(gain=(pl.col("realised") - pl.col("either_side")).sum())
