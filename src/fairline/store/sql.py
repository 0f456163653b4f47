"""SQL over what a watch has kept, by DuckDB: a view for each dataset, and nothing that writes."""

from itertools import count
from typing import Any

import polars as pl

from fairline.errors import InputError, UsageError
from fairline.extras import need
from fairline.store.datasets import DATASETS
from fairline.store.store import Store

_TRIES = 3
_SQL = {
    "Date": "DATE",
    "String": "VARCHAR",
    "Int64": "BIGINT",
    "Float64": "DOUBLE",
    "Boolean": "BOOLEAN",
    "Datetime(time_unit='us', time_zone='UTC')": "TIMESTAMPTZ",
}


def query(store: Store, text: str) -> pl.DataFrame:
    """The answer to a query over the datasets by their names. Raises `InputError` for one that cannot be answered."""
    duckdb = need("duckdb", "sql")
    sound = False
    for left in range(_TRIES, 0, -1):
        try:
            return _ask(duckdb, store, text, sound=sound)
        except duckdb.IOException as error:
            # A file was merged into another while the query ran.
            if left == 1:
                raise InputError(f"the store cannot be read ({error})", remedy="Try again") from None
        except duckdb.InvalidInputException as error:
            # A damaged file, perhaps: without those it is asked once more.
            if sound:
                raise InputError(f"the query cannot be answered ({error})", remedy="See docs/running.md") from None
            sound = True
        except duckdb.Error as error:
            words = str(error).strip().splitlines()[0]
            raise InputError(
                f"the query was not understood ({words})", remedy=f"Tables: {', '.join(DATASETS)}"
            ) from None
    raise AssertionError


def _ask(duckdb: Any, store: Store, text: str, *, sound: bool) -> pl.DataFrame:
    look = store.sound_paths if sound else store.paths
    paths = {name: [str(path) for path in look(name)] for name in DATASETS}
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        # A query can read the store's files and no others, and write none.
        connection.execute("SET allowed_paths = ?", [[path for files in paths.values() for path in files]])
        connection.execute("SET enable_external_access = false")
        for name, files in paths.items():
            if files:
                connection.read_parquet(files, union_by_name=True, hive_partitioning=False).create_view(name)
            else:
                columns = ", ".join(f'"{column}" {_SQL[str(dtype)]}' for column, dtype in DATASETS[name].items())
                connection.execute(f"CREATE TABLE {name} ({columns})")
        answer = connection.execute(_only_asks(duckdb, connection, text))
        names = [column[0] for column in answer.description or []]
        rows = answer.fetchall()
    if not names:
        raise UsageError("the query has no answer", remedy="Begin it with SELECT")
    return pl.DataFrame(rows, schema=_distinct(names), orient="row", infer_schema_length=None)


def _only_asks(duckdb: Any, connection: Any, text: str) -> str:
    """The query, if it is one statement that only asks. Raises `UsageError`."""
    statements = connection.extract_statements(text)
    asks = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)
    if len(statements) != 1 or statements[0].type not in asks:
        raise UsageError("only one query that asks can be answered", remedy="Begin it with SELECT")
    return str(statements[0].query)


def _distinct(names: list[str]) -> list[str]:
    """A query may call two columns the same; a frame may not."""
    made: list[str] = []
    for name in names:
        tries = (name if number == 1 else f"{name}_{number}" for number in count(1))
        made.append(next(each for each in tries if each not in made))
    return made
