"""Queries read the store and change nothing, whatever the statement."""

from datetime import UTC, datetime

import polars as pl
import pytest

from fairline.errors import FairlineError
from fairline.store.datasets import SCANS
from fairline.store.sql import query
from fairline.store.store import Store

pytest.importorskip("duckdb")


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "store")
    store.acquire()
    row = dict.fromkeys(SCANS) | {"outcome": "done", "complete": True, "listed": 7}
    store.append("scans", pl.DataFrame([row], schema=SCANS), datetime(2026, 11, 23, 12, tzinfo=UTC))
    store.release()
    return store


def contents(folder):
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_query_reads_every_dataset(store):
    assert query(store, "SELECT outcome, listed FROM scans").rows() == [("done", 7)]
    assert query(store, "SELECT count(*) AS n FROM edges").rows() == [(0,)]
    assert query(store, "EXPLAIN SELECT * FROM scans").height > 0


STATEMENTS = [
    "EXPLAIN ANALYZE COPY (SELECT 1 AS a) TO '{file}' (FORMAT parquet)",
    "EXPLAIN ANALYZE COPY (SELECT 1 AS a) TO '{name}' (FORMAT parquet)",
    "COPY (SELECT 1 AS a) TO '{file}' (FORMAT parquet, USE_TMP_FILE false)",
    "COPY scans TO '{folder}/new.csv'",
    "COPY scans TO 'store://new.csv'",
    "EXPORT DATABASE '{folder}/copy'",
    "ATTACH '{folder}/new.db'",
    "SET disabled_filesystems = ''",
    "SET enable_external_access = true",
    "INSTALL httpfs",
    "PRAGMA profile_output='{folder}/profile.json'",
    "SELECT * FROM read_csv('/etc/hosts')",
    "SELECT * FROM read_text('{folder}/../secret.txt')",
    "SELECT * FROM read_parquet('https://127.0.0.1/x.parquet')",
    "SELECT 1; SELECT 2",
    "DELETE FROM scans",
]


@pytest.mark.parametrize("statement", STATEMENTS)
def test_no_statement_writes_or_reads_anything_else(store, tmp_path, statement):
    (tmp_path / "secret.txt").write_text("secret")
    (file,) = store.paths("scans")
    before = contents(tmp_path)
    with pytest.raises(FairlineError) as caught:
        query(store, statement.format(file=file, folder=store.folder, name=f"store://scans/{file.name}"))
    assert "secret" not in str(caught.value).replace("secret.txt", "")
    assert len(str(caught.value).splitlines()) == 1
    assert contents(tmp_path) == before
