"""Runs another client's feed against a moving world, and compares the books that it rebuilds with the exchange's."""

import json
import subprocess
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

from fairline.sim import Exchange, Key, World, throw_away_pair
from fairline.sim.catalog import WorldCatalog

SECONDS, MARKETS = 4, 60
Rows = list[dict[str, object]]


def run_feed(python: Path, script: Path) -> Rows:
    """Return a row for each property of the feed that the client's run shows."""
    world = World(400, moves=400, speed=10, seed=6)
    columns = world.columns
    listed = [row for row in range(world.first, len(columns.ticker)) if columns.status[row] == 1]
    tickers = [columns.ticker[row] for row in listed[:MARKETS]]
    with tempfile.TemporaryDirectory() as folder:
        key_file = Path(folder) / "key.pem"
        key = Key("conformance", throw_away_pair(key_file))
        with Exchange(catalog=WorldCatalog(world), keys=[key]) as exchange:
            facts = {"websocket": exchange.websocket_url, "tickers": tickers, "seconds": SECONDS}
            command = [str(python), str(script), "pykalshi", exchange.url, "conformance", str(key_file)]
            with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
                assert process.stdin is not None and process.stdout is not None
                process.stdin.write(json.dumps(facts) + "\n")
                process.stdin.flush()
                process.stdout.readline()
                world.speed = 0.0
                result = json.loads(process.stdout.readline() or "{}")
            books = {ticker: exchange.backend.catalog.book(world.row[ticker]) for ticker in tickers}
            still_open = {ticker for ticker in tickers if columns.status[world.row[ticker]] == 1}
    return judge(result, books, still_open)


def judge(result: dict[str, Any], books: dict[str, Any], still_open: set[str]) -> Rows:
    counts = result.get("counts", {})
    equal = [
        ticker
        for ticker in still_open
        if _levels(result.get("books", {}).get(ticker)) == _expected_levels(books[ticker])
    ]
    rows: Rows = [
        {"call": f"feed: {kind}", "ok": counts.get(kind, 0) > 0, "outcome": f"{counts.get(kind, 0)} messages"}
        for kind in ("ticker", "trade", "delta")
    ]
    snapshots = counts.get("snapshot", 0)
    rows.append({"call": "feed: snapshot", "ok": snapshots >= MARKETS, "outcome": f"{snapshots} messages"})
    reconnects = result.get("reconnects")
    rows.append({"call": "feed: one connection", "ok": reconnects == 0, "outcome": f"{reconnects} reconnects"})
    outcome = f"{len(equal)} of {len(still_open)} equal the exchange's"
    rows.append({"call": "feed: rebuilt books", "ok": len(equal) == len(still_open), "outcome": outcome})
    return rows


def _levels(book: dict[str, dict[str, str]] | None) -> list[dict[Decimal, Decimal]]:
    sides = (book or {}).get("yes", {}), (book or {}).get("no", {})
    return [{Decimal(price): Decimal(size) for price, size in side.items()} for side in sides]


def _expected_levels(book: Any) -> list[dict[Decimal, Decimal]]:
    return [{Decimal(price) / 10_000: Decimal(size) / 100 for price, size in side} for side in book]
