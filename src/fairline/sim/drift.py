"""Answers whose data has drifted: renamed or missing keys, impossible values, empty lists. All are valid JSON."""

import json
from collections.abc import Callable
from typing import Any

from fairline.sim.faults import Faults

Document = dict[str, Any]
Change = Callable[[Document, Faults, str], None]
"""Changes a decoded answer in place. The name is that of the fault, which is drawn once per object."""


def apply_drift(path: str, body: bytes, faults: Faults) -> bytes:
    """Return the body of an answer at `path` (without prefix and query) after the drifts in force."""
    changes = [(name, change) for name, (at, change) in DRIFTS.items() if path == at and faults.in_force(name)]
    if not changes:
        return body
    document = json.loads(body)
    for name, change in changes:
        change(document, faults, name)
    return json.dumps(document, separators=(",", ":")).encode()


def _rename(objects: str, old: str, new: str) -> Change:
    def change(document: Document, faults: Faults, name: str) -> None:
        for row in document[objects]:
            if old in row and faults.strikes(name):
                row[new] = row.pop(old)

    return change


def _set(objects: str, key: str, value: object) -> Change:
    def change(document: Document, faults: Faults, name: str) -> None:
        for row in document[objects]:
            if key in row and faults.strikes(name):
                row[key] = value

    return change


def _remove(objects: str, key: str) -> Change:
    def change(document: Document, faults: Faults, name: str) -> None:
        for row in document[objects]:
            if key in row and faults.strikes(name):
                del row[key]

    return change


def _empty(objects: str) -> Change:
    def change(document: Document, faults: Faults, name: str) -> None:
        if faults.strikes(name):
            document[objects] = []

    return change


def _clear_rows(document: Document, faults: Faults, name: str) -> None:
    document["markets"] = [{} if faults.strikes(name) else row for row in document["markets"]]


def _drop_rows(document: Document, faults: Faults, name: str) -> None:
    document["markets"] = [row for row in document["markets"] if not faults.strikes(name)]


def _rename_cursor(new: str | None) -> Change:
    def change(document: Document, faults: Faults, name: str) -> None:
        if faults.strikes(name):
            cursor = document.pop("cursor", "")
            if new is not None:
                document[new] = cursor

    return change


def _change_books(change_sides: Callable[[Document], None]) -> Change:
    def change(document: Document, faults: Faults, name: str) -> None:
        for book in document["orderbooks"]:
            if faults.strikes(name):
                change_sides(book["orderbook_fp"])

    return change


def _rename_side(sides: Document) -> None:
    sides["yes_dollars_fp"] = sides.pop("yes_dollars")


def _remove_side(sides: Document) -> None:
    del sides["no_dollars"]


def _negate_sizes(sides: Document) -> None:
    for side, levels in sides.items():
        sides[side] = [[price, f"-{size}"] for price, size in levels]


def _null_empty_sides(sides: Document) -> None:
    for side, levels in sides.items():
        sides[side] = levels or None


DRIFTS: dict[str, tuple[str, Change]] = {
    "drift-price-name": ("/markets", _rename("markets", "yes_bid_dollars", "yes_bid_price_dollars")),
    "drift-market-type": ("/markets", _set("markets", "market_type", "perpetual")),
    "drift-empty-objects": ("/markets", _clear_rows),
    "drift-no-markets": ("/markets", _empty("markets")),
    "drift-fewer-markets": ("/markets", _drop_rows),
    "drift-no-cursor": ("/markets", _rename_cursor(None)),
    "drift-cursor-name": ("/markets", _rename_cursor("next_cursor")),
    "drift-no-series": ("/series", _empty("series")),
    "drift-no-multiplier": ("/series", _remove("series", "fee_multiplier")),
    "drift-huge-multiplier": ("/series", _set("series", "fee_multiplier", 1e10)),
    "drift-no-events": ("/events", _empty("events")),
    "drift-book-names": ("/markets/orderbooks", _change_books(_rename_side)),
    "drift-book-side": ("/markets/orderbooks", _change_books(_remove_side)),
    "drift-book-sizes": ("/markets/orderbooks", _change_books(_negate_sizes)),
    "drift-book-null": ("/markets/orderbooks", _change_books(_null_empty_sides)),
    "drift-payout": ("/markets", _set("markets", "settlement_value_dollars", "1.5000")),
    "drift-result-name": ("/markets", _rename("markets", "result", "outcome")),
}
