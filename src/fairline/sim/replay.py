"""Recorded market objects served as an exchange, each exactly as it was recorded.

A recording is a file or a folder of JSON or JSON Lines. Whatever in it looks like a market, an event, a series or an
order book is taken, wherever it is nested; events and series that were not recorded are derived from the tickers.
"""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairline.sim.catalog import EventEntry, Level
from fairline.sim.errors import SimError
from fairline.sim.life import Trade
from fairline.sim.world import SETTLE_US

UNRECORDED = "Unrecorded"


class ReplayCatalog:
    """The catalog of a recording. Raises `SimError` for a path that cannot be read or holds no market."""

    def __init__(self, path: Path) -> None:
        markets: dict[str, dict[str, Any]] = {}
        events: dict[str, dict[str, Any]] = {}
        series: dict[str, dict[str, Any]] = {}
        self._books: dict[str, dict[str, Any]] = {}
        for item in _objects(path):
            if "orderbook_fp" in item and isinstance(item.get("ticker"), str):
                self._books[item["ticker"]] = item["orderbook_fp"]
            elif isinstance(item.get("event_ticker"), str) and isinstance(item.get("ticker"), str):
                markets[item["ticker"]] = item
            elif isinstance(item.get("event_ticker"), str) and "series_ticker" in item:
                events[item["event_ticker"]] = {k: v for k, v in item.items() if k != "markets"}
            elif "fee_type" in item and isinstance(item.get("ticker"), str):
                series[item["ticker"]] = item
        if not markets:
            raise SimError(f"{path} holds no market objects; a replay needs JSON with 'ticker' and 'event_ticker'")
        ordered = sorted(markets.values(), key=lambda m: (-_created(m), m["ticker"]))
        self.tickers = [market["ticker"] for market in ordered]
        self.row = {ticker: row for row, ticker in enumerate(self.tickers)}
        self.created_us = np.array([_created(market) for market in ordered], dtype=np.int64)
        self.close_us = np.array([_micros(market.get("close_time")) for market in ordered], dtype=np.int64)
        self.combos = np.array([bool(market.get("mve_collection_ticker")) for market in ordered], dtype=np.bool_)
        settled = [_micros(market.get("settlement_ts")) for market in ordered]
        self.settled_us = np.where(np.array(settled) > 0, settled, self.close_us + SETTLE_US)
        self.archived = np.zeros(len(ordered), dtype=np.bool_)
        self.cutoff_us = 0
        self._status = np.array([str(market.get("status", "active")) for market in ordered])
        self._json = [json.dumps(market, separators=(",", ":"), ensure_ascii=False).encode() for market in ordered]
        self.events = _events(ordered, events)
        position = {event.ticker: i for i, event in enumerate(self.events)}
        self.event_of = np.array([position[market["event_ticker"]] for market in ordered], dtype=np.int32)
        for row, event in enumerate(self.event_of):
            self.events[event].rows.append(row)
        categories = {event.series: str(event.fields.get("category") or UNRECORDED) for event in self.events}
        self.series = [series.get(name, _bare_series(name, category)) for name, category in sorted(categories.items())]

    def refresh(self) -> int:
        """A recording stands still, and everything in it is listed."""
        return 0

    def trades(self) -> Sequence[Trade]:
        """Recorded trades are not replayed."""
        return []

    def having(self, statuses: tuple[str, ...], rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        return np.isin(self._status[rows], statuses)

    def market(self, row: int) -> bytes:
        return self._json[row]

    def book(self, row: int) -> tuple[list[Level], list[Level]]:
        book = self._books.get(self.tickers[row], {})
        return _levels(book.get("yes_dollars")), _levels(book.get("no_dollars"))


def _objects(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        raise SimError(f"{path} does not exist; --replay takes a file or folder of recorded JSON")
    files = sorted(f for f in path.rglob("*") if f.suffix in (".json", ".jsonl")) if path.is_dir() else [path]
    for file in files:
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SimError(f"{file} cannot be read as text ({error})") from None
        yield from _inside(_parse(file, text))


def _parse(file: Path, text: str) -> object:
    if file.suffix != ".jsonl":
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            if not text.lstrip().startswith("{"):
                raise SimError(f"{file} is not JSON (line {error.lineno}: {error.msg})") from None
    lines = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                lines.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise SimError(f"{file} is not JSON Lines (line {number}: {error.msg})") from None
    return lines


def _inside(value: object) -> Iterator[dict[str, Any]]:
    """Every object within, at any depth. Dumps of an old SDK, with `_`-prefixed names, get their wire names back."""
    if isinstance(value, list):
        for item in value:
            yield from _inside(item)
    elif isinstance(value, dict):
        if "discriminator" in value:
            value = {name.removeprefix("_"): item for name, item in value.items() if name != "discriminator"}
        yield value
        for item in value.values():
            if isinstance(item, dict | list):
                yield from _inside(item)


def _events(markets: list[dict[str, Any]], recorded: dict[str, dict[str, Any]]) -> list[EventEntry]:
    entries = {}
    for market in markets:
        ticker = market["event_ticker"]
        if ticker not in entries:
            fields = recorded.get(ticker) or _bare_event(ticker, str(market.get("title") or ""))
            entries[ticker] = EventEntry(ticker, str(fields.get("series_ticker") or ticker.split("-")[0]), fields)
    return list(entries.values())


def _bare_event(ticker: str, title: str) -> dict[str, object]:
    return {
        "event_ticker": ticker,
        "series_ticker": ticker.split("-", maxsplit=1)[0],
        "title": title,
        "sub_title": "",
        "collateral_return_type": "",
        "mutually_exclusive": False,
        "settlement_sources": [],
    }


def _bare_series(ticker: str, category: str) -> dict[str, object]:
    return {
        "ticker": ticker,
        "title": ticker,
        "category": category,
        "categories": [category],
        "tags": [],
        "frequency": "custom",
        "fee_type": "quadratic",
        "fee_multiplier": 1,
        "settlement_sources": [],
        "contract_url": "",
        "contract_terms_url": "",
        "additional_prohibitions": [],
    }


def _created(market: dict[str, Any]) -> int:
    return _micros(market.get("created_time") or market.get("open_time"))


def _micros(text: object) -> int:
    try:
        return int(datetime.fromisoformat(str(text)).astimezone(UTC).timestamp() * 1_000_000)
    except ValueError:
        return 0


def _levels(levels: list[list[str]] | None) -> list[Level]:
    return [(round(float(price) * 10_000), round(float(size) * 100)) for price, size in levels or []]
