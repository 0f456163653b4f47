"""SQL over a store with DuckDB: one read-only view per dataset."""

from itertools import count
from typing import Any

import polars as pl

from fairline.errors import InputError, UsageError
from fairline.extras import need
from fairline.store.datasets import DATASETS
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
        except duckdb.IOException as error:
            # A file may have been merged into another during the query.
            if attempts_left == 1:
                raise InputError(f"cannot read the store ({error})", remedy="Try again") from error
        except duckdb.InvalidInputException as error:
            # A file may be damaged: try again without those.
            if skip_damaged:
                raise InputError(f"cannot run the query ({error})", remedy="See docs/running.md") from error
            skip_damaged = True
        except duckdb.Error as error:
            reason = str(error).strip().splitlines()[0]
            raise InputError(f"invalid query ({reason})", remedy=f"Tables: {', '.join(DATASETS)}") from error
    raise AssertionError


def _execute(duckdb: Any, store: Store, text: str, *, skip_damaged: bool) -> pl.DataFrame:
    list_paths = store.readable_paths if skip_damaged else store.paths
    paths = {name: [str(path) for path in list_paths(name)] for name in DATASETS}
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        # Queries can read the store's files and no others.
        connection.execute("SET allowed_paths = ?", [[path for files in paths.values() for path in files]])
        connection.execute("SET enable_external_access = false")
        for name, files in paths.items():
            _create_table(connection, name, files)
        result = connection.execute(_single_select(duckdb, connection, text))
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


def _single_select(duckdb: Any, connection: Any, text: str) -> str:
    """Return the query if it is one statement that only reads. Raises `UsageError`."""
    statements = connection.extract_statements(text)
    reading = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)
    if len(statements) != 1 or statements[0].type not in reading:
        raise UsageError("invalid query: expected one statement that only reads", remedy="Begin it with SELECT")
    return str(statements[0].query)


def _distinct_names(names: list[str]) -> list[str]:
    """Number repeated column names: SQL allows them, a frame does not."""
    distinct: list[str] = []
    for name in names:
        candidates = (name if number == 1 else f"{name}_{number}" for number in count(1))
        distinct.append(next(each for each in candidates if each not in distinct))
    return distinct
