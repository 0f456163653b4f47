"""Recorded market objects served as an exchange, each exactly as it was recorded.

Events and series that were not recorded are derived from the tickers. Markets without a recorded book serve their
quotes as a book of one level.
"""

import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairline.sim.catalog import EventEntry, Level
from fairline.sim.columns import UNIT
from fairline.sim.life import Trade
from fairline.sim.recording import Object, read_recording
from fairline.sim.world import SETTLE_US

UNRECORDED = "Unrecorded"
_UNRECORDED_SIZE = 100
"""One contract: the size of a level whose size was not recorded."""


class ReplayCatalog:
    """The catalog of a recording.

    `at` is the time at which the exchange's clock starts, the present if None. Raises `SimError` for a path that cannot
    be read or that contains no market.
    """

    def __init__(self, path: Path, *, at: datetime | None = None, clock: Callable[[], float] = time.time) -> None:
        recording = read_recording(path)
        markets = sorted(recording.markets.values(), key=lambda market: (-_created_us(market), market["ticker"]))
        self._markets = markets
        self._books = recording.books
        self._clock = clock
        self.offset_s = 0.0 if at is None else at.timestamp() - clock()
        self._set_columns()
        self.events = _events(markets, recording.events)
        self._assign_rows()
        categories = {event.series: str(event.fields.get("category") or UNRECORDED) for event in self.events}
        self.series = [
            recording.series.get(name) or _bare_series(name, category) for name, category in sorted(categories.items())
        ]

    def _set_columns(self) -> None:
        markets = self._markets
        self.tickers = [str(market["ticker"]) for market in markets]
        self.row = {ticker: row for row, ticker in enumerate(self.tickers)}
        self.created_us = np.array([_created_us(market) for market in markets], dtype=np.int64)
        self.close_us = np.array([_micros(market.get("close_time")) for market in markets], dtype=np.int64)
        self.combos = np.array([bool(market.get("mve_collection_ticker")) for market in markets], dtype=np.bool_)
        settled = np.array([_micros(market.get("settlement_ts")) for market in markets], dtype=np.int64)
        self.settled_us = np.where(settled > 0, settled, self.close_us + SETTLE_US)
        self.archived = np.zeros(len(markets), dtype=np.bool_)
        self.cutoff_us = 0
        self._close_order = np.argsort(-self.close_us, kind="stable")
        self._status = np.array([str(market.get("status", "active")) for market in markets])
        self._json = [json.dumps(market, separators=(",", ":"), ensure_ascii=False).encode() for market in markets]

    def _assign_rows(self) -> None:
        position = {event.ticker: i for i, event in enumerate(self.events)}
        self.event_of = np.array([position[market["event_ticker"]] for market in self._markets], dtype=np.int32)
        for row, event in enumerate(self.event_of):
            self.events[event].rows.append(row)

    @property
    def now_us(self) -> int:
        """The time of the replayed exchange, in microseconds."""
        return int((self._clock() + self.offset_s) * 1e6)

    def refresh(self) -> int:
        """Return 0: a recording does not change, and everything in it is listed."""
        return 0

    def trades(self) -> Sequence[Trade]:
        """Return nothing: recorded trades are not replayed."""
        return []

    def with_status(self, statuses: tuple[str, ...], rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        return np.isin(self._status[rows], statuses)

    def market(self, row: int) -> bytes:
        return self._json[row]

    def close_order(self) -> NDArray[np.int64]:
        return self._close_order

    def book(self, row: int) -> tuple[list[Level], list[Level]]:
        """Return the recorded book, or the quotes of the market as one level on each side."""
        book = self._books.get(self.tickers[row])
        if book is not None:
            return _levels(book.get("yes_dollars")), _levels(book.get("no_dollars"))
        if self._status[row] != "active":
            return [], []
        market = self._markets[row]
        bid = _quote(market, "yes_bid")
        ask = _quote(market, "yes_ask")
        return ([bid] if bid else []), ([(UNIT - ask[0], ask[1])] if ask else [])


def _quote(market: Object, side: str) -> Level | None:
    """Return price and size of a quote, None if that side is empty. Old recordings have whole cents and no sizes."""
    dollars = market.get(f"{side}_dollars")
    cents = market.get(side)
    size = market.get(f"{side}_size_fp")
    try:
        price = round(float(dollars) * UNIT) if dollars is not None else round(float(cents or 0) * UNIT / 100)
        contracts = _UNRECORDED_SIZE if size is None else round(float(size) * 100)
    except (TypeError, ValueError):
        return None
    return (price, contracts) if 0 < price < UNIT and contracts > 0 else None


def _events(markets: list[Object], recorded: dict[str, Object]) -> list[EventEntry]:
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


def _created_us(market: Object) -> int:
    return _micros(market.get("created_time") or market.get("open_time"))


def _micros(text: object) -> int:
    try:
        return int(datetime.fromisoformat(str(text)).astimezone(UTC).timestamp() * 1_000_000)
    except ValueError:
        return 0


def _levels(levels: list[list[Any]] | None) -> list[Level]:
    return [(round(float(price) * UNIT), round(float(size) * 100)) for price, size in levels or []]
