"""SQL over a store with DuckDB, whose only files are the store's, opened for reading.

The engine cannot write or read anything else: its own file system is disabled, its configuration is locked, and the
file system it has instead (`store://`) opens the store's files read-only. So no statement has to be filtered.
"""

from contextlib import ExitStack
from itertools import count
from typing import Any

import polars as pl

from fairline.errors import InputError, UsageError
from fairline.extras import need
from fairline.store.datasets import DATASETS
from fairline.store.read_only import PROTOCOL, read_only_files
from fairline.store.store import Store

_TRIES = 3
_SQL_TYPES = {
    "Date": "DATE",
    "String": "VARCHAR",
    "Int64": "BIGINT",
    "Float64": "DOUBLE",
    "Boolean": "BOOLEAN",
    "Binary": "BLOB",
    "Datetime(time_unit='us', time_zone='UTC')": "TIMESTAMPTZ",
}


def query(store: Store, text: str) -> pl.DataFrame:
    """Return the result of a query over the datasets, each a table of its name. Raises `InputError`, `UsageError`."""
    duckdb = need("duckdb", "sql")
    skip_damaged = False
    for attempts_left in range(_TRIES, 0, -1):
        try:
            return _execute(duckdb, store, text, skip_damaged=skip_damaged)
        except (duckdb.IOException, FileNotFoundError) as error:
            # A file may have been merged into another during the query.
            if attempts_left == 1:
                raise InputError(f"cannot read the store ({error})", remedy="Try again") from error
        except duckdb.InvalidInputException as error:
            # A file may be damaged: try again without those.
            if skip_damaged:
                raise InputError(f"cannot run the query ({error})", remedy="See docs/running.md") from error
            skip_damaged = True
        except duckdb.Error as error:
            reason = _first_line(error)
            raise InputError(f"invalid query ({reason})", remedy=f"Tables: {', '.join(DATASETS)}") from error
    raise AssertionError


def _execute(duckdb: Any, store: Store, text: str, *, skip_damaged: bool) -> pl.DataFrame:
    list_paths = store.readable_paths if skip_damaged else store.paths
    files = {name: {f"{name}/{path.name}": path for path in list_paths(name)} for name in DATASETS}
    every_file = {name: path for paths in files.values() for name, path in paths.items()}
    with ExitStack() as stack, duckdb.connect(":memory:") as connection:
        connection.register_filesystem(read_only_files(every_file, stack))
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET autoinstall_known_extensions = false")
        connection.execute("SET autoload_known_extensions = false")
        connection.execute("SET disabled_filesystems = 'LocalFileSystem'")
        connection.execute("SET lock_configuration = true")
        for name, paths in files.items():
            _create_table(connection, name, [f"{PROTOCOL}://{path}" for path in paths])
        _check_single(connection, text)
        result = connection.execute(text)
        names = [column[0] for column in result.description or []]
        rows = result.fetchall()
    if not names:
        raise UsageError("the query returns no columns", remedy="Begin it with SELECT")
    return pl.DataFrame(rows, schema=_distinct_names(names), orient="row", infer_schema_length=None)


def _create_table(connection: Any, name: str, files: list[str]) -> None:
    if files:
        connection.read_parquet(files, union_by_name=True, hive_partitioning=False).create_view(name)
        return
    columns = ", ".join(f'"{column}" {_SQL_TYPES[str(dtype)]}' for column, dtype in DATASETS[name].items())
    connection.execute(f"CREATE TABLE {name} ({columns})")


def _check_single(connection: Any, text: str) -> None:
    if len(connection.extract_statements(text)) != 1:
        raise UsageError("invalid query: expected one statement", remedy="Begin it with SELECT")


def _first_line(error: Exception) -> str:
    """Return what is wrong. An error of the file system comes as a traceback, whose last line says it."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1] if lines[0].startswith("Traceback") else lines[0]


def _distinct_names(names: list[str]) -> list[str]:
    """Number repeated column names: SQL allows them, a frame does not."""
    distinct: list[str] = []
    for name in names:
        candidates = (name if number == 1 else f"{name}_{number}" for number in count(1))
        distinct.append(next(each for each in candidates if each not in distinct))
    return distinct
