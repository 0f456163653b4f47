"""Decode answers into objects. An object that does not fit becomes a `Rejected` and costs one row.

A page is decoded in one go. If that fails, it is decoded again object by object. Objects that do not fit, or that are
not JSON at all, are rejected with their ticker, field and value.
"""

import re
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import UNSET

from fairline.kalshi.errors import ResponseError, ShapeError

T = TypeVar("T")
Bytes = bytes | memoryview

MAX_REJECTED_PER_PAGE = 1_000
"""The exchange's largest page. An answer with more unreadable objects is rejected as a whole."""
MAX_SHOWN_CHARACTERS = 60

MARKET_TYPES = ("binary", "scalar")
UNKNOWN_TYPE = "unknown market type"
"""The reason for a market whose type this version does not know: it may lack fields that others have."""

_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are not JSON, not UTF-8, of another shape or nested too deeply."""
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]]', re.DOTALL)


class Rejected(msgspec.Struct, frozen=True):
    """An unusable object: its ticker, the field and value at fault, and the reason."""

    ticker: str
    field: str
    value: str
    reason: str

    def __str__(self) -> str:
        shown = f" = {self.value}" if self.value else ""
        return f"{self.ticker or '(no ticker)'}: {self.field}{shown}: {self.reason}"


class Page(msgspec.Struct, Generic[T], frozen=True):
    """The usable objects of one page, the rejected ones, and the cursor of the next page (None at the end).

    `cursor_missing` is set if the answer has no `cursor` key, or null in its place: the exchange ends a listing with
    an empty string.
    """

    rows: list[T]
    rejected: list[Rejected]
    cursor: str | None
    cursor_missing: bool = False

    @property
    def size(self) -> int:
        """Objects on the page, usable or not."""
        return len(self.rows) + len(self.rejected)


def page_decoder(envelope: type[Any], name: str, row: type[T], id_field: str) -> Callable[[Bytes], Page[T]]:
    """Return a decoder of pages whose list is called `name`.

    The decoder raises `ResponseError` for a body that is not JSON and `ShapeError` for JSON of another shape.
    """
    fast = msgspec.json.Decoder(envelope)
    one = msgspec.json.Decoder(row)

    def decode(body: Bytes) -> Page[T]:
        try:
            page = fast.decode(body)
        except _UNREADABLE as error:
            return _decode_singly(body, name, one, id_field, error)
        return Page(getattr(page, name), [], _text(page.cursor) or None, page.cursor in (UNSET, None))

    return decode


def _text(cursor: object) -> str:
    return cursor if isinstance(cursor, str) else ""


def _decode_singly(body: Bytes, name: str, one: "msgspec.json.Decoder[T]", id_field: str, cause: Exception) -> Page[T]:
    """Decode a page object by object, because at least one of them does not fit."""
    objects, cursor = _split(body, name, cause)
    rows: list[T] = []
    rejected: list[Rejected] = []
    for raw in objects:
        try:
            rows.append(one.decode(raw))
        except _UNREADABLE as error:
            rejected.append(_explain(bytes(raw), error, id_field))
        if len(rejected) > MAX_REJECTED_PER_PAGE:
            raise ShapeError(
                f"more than {MAX_REJECTED_PER_PAGE:,} {name} could not be read, such as {rejected[0]}",
                remedy="Run `fairline doctor --contract` to compare the exchange with what this version expects",
            )
    return Page(rows, rejected, _text(cursor) or None, cursor in (UNSET, None))


def _split(body: Bytes, name: str, cause: Exception) -> tuple[list[Any], object]:
    """Return the raw objects of the page's list, and its cursor (UNSET if the key is missing)."""
    try:
        envelope = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        raws = msgspec.json.decode(envelope[name], type=list[msgspec.Raw])
        raw_cursor = envelope.get("cursor")
        return list(raws), UNSET if raw_cursor is None else msgspec.json.decode(raw_cursor, type=str | None)
    except (KeyError, msgspec.ValidationError) as error:
        raise _wrong_shape(name) from error
    except _UNREADABLE as error:
        page = _scan(bytes(body), name)
        if page is None:
            raise _not_json(body, cause) from error
        return page


def _scan(body: bytes, name: str) -> tuple[list[Any], object] | None:
    """Split a page by its brackets alone. Returns None if there is no such list or its brackets do not balance.

    Needed where a single object is nested too deeply for the decoder, or contains text that is not Unicode.
    """
    opening = re.search(rb'"' + name.encode() + rb'"\s*:\s*\[', body)
    if opening is None or not body.rstrip().endswith(b"}"):
        return None
    objects, end = _split_list(body, opening.end())
    if end is None:
        return None
    cursor = re.search(rb'"cursor"\s*:\s*"([^"\\]*)"', body[: opening.start()] + body[end:])
    return objects, UNSET if cursor is None else cursor[1].decode("utf-8", "replace")


def _split_list(body: bytes, position: int) -> tuple[list[Any], int | None]:
    """Return the objects of a list whose bracket opens just before `position`, and where it ends (None: nowhere)."""
    objects: list[Any] = []
    depth = 0
    start = position
    for token in _TOKEN.finditer(body, position):
        text = token[0]
        if text in (b"{", b"["):
            start = token.start() if depth == 0 else start
            depth += 1
        elif text in (b"}", b"]"):
            if depth == 0:
                return objects, token.end()
            depth -= 1
            if depth == 0:
                objects.append(body[start : token.end()])
    return objects, None


RETIRED = {
    "yes_bid_dollars": "yes_bid",
    "yes_ask_dollars": "yes_ask",
    "yes_bid_size_fp": "yes_bid_size",
    "yes_ask_size_fp": "yes_ask_size",
}
"""Fields and the retired ones they replaced. A row with a retired field comes from an old recording or an old proxy.

Other tools read the missing new field as zero and bought at 0 cents.
"""


def _explain(raw: bytes, error: Exception, id_field: str) -> Rejected:
    """Return the ticker, field, value and reason behind an error of the decoder."""
    ticker = _find_ticker(raw, id_field)
    if isinstance(error, RecursionError):
        return Rejected(ticker, "(object)", "", "nested too deeply")
    if isinstance(error, UnicodeDecodeError):
        return Rejected(ticker, "(object)", "", "not UTF-8")
    if not isinstance(error, msgspec.ValidationError):
        return Rejected(ticker, "(object)", "", "not JSON")
    reason, _, path = str(error).partition(" - at `")
    try:
        item = msgspec.json.decode(raw)
    except _UNREADABLE:
        return Rejected(ticker, path.rstrip("`").removeprefix("$."), "", reason[:1].lower() + reason[1:])
    if not isinstance(item, dict):
        return Rejected("", "(whole object)", _shorten(item), "not a JSON object")
    return _explain_field(item, ticker, reason, path)


def _explain_field(item: dict[str, Any], ticker: str, reason: str, path: str) -> Rejected:
    market_type = item.get("market_type", MARKET_TYPES[0])
    if isinstance(market_type, str) and market_type not in MARKET_TYPES:
        return Rejected(ticker, "market_type", _shorten(market_type), UNKNOWN_TYPE)
    for new, old in RETIRED.items():
        if new not in item and old in item:
            why = f"missing; the row has {old} = {_shorten(item[old])}: this is the cents format retired on 2026-03-12"
            return Rejected(ticker, new, "", why)
    name = path.rstrip("`").removeprefix("$").removeprefix(".")
    if not name and "required field" in reason:
        name = reason.split("`")[1]
    top = name.partition(".")[0].partition("[")[0]
    if top in item:
        return Rejected(ticker, top, _shorten(item[top]), reason[:1].lower() + reason[1:])
    return Rejected(ticker, top or "(object)", "", "missing")


def _find_ticker(raw: bytes, id_field: str) -> str:
    match = re.search(rb'"' + id_field.encode() + rb'"\s*:\s*"([^"\\]{0,200})"', raw)
    return match[1].decode("utf-8", "replace") if match else ""


def _shorten(value: object) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= MAX_SHOWN_CHARACTERS else text[: MAX_SHOWN_CHARACTERS - 3] + "…"


def _wrong_shape(name: str) -> ShapeError:
    return ShapeError(
        f"the answer has no list of {name} and cursor as the exchange sends it",
        remedy="Check that the exchange's address points at the trade API",
    )


def _not_json(body: Bytes, error: Exception) -> ResponseError:
    head = bytes(body[:200]).lstrip().lower()
    if head.startswith(b"<"):
        return ResponseError("the answer is a web page, not JSON", remedy="A proxy or login page may be in between")
    if not body:
        return ResponseError("the answer is empty", remedy="Try again")
    if isinstance(error, RecursionError):
        return ResponseError("the answer is nested too deeply", remedy="Try again")
    return ResponseError(f"the answer is not JSON ({error})", remedy="Try again")


def object_decoder(shape: type[T]) -> Callable[[Bytes], T]:
    """Return a decoder of single objects. It raises `ResponseError` or `ShapeError` like that of `page_decoder`."""
    decoder = msgspec.json.Decoder(shape)

    def decode(body: Bytes) -> T:
        try:
            return decoder.decode(body)
        except msgspec.ValidationError as error:
            raise ShapeError(
                f"the answer is not a {shape.__name__.lstrip('_')}: {error}",
                remedy="Check that the exchange's address points at the trade API",
            ) from error
        except _UNREADABLE as error:
            raise _not_json(body, error) from error

    return decode


def error_body(body: Bytes) -> tuple[str, str, str]:
    """Return (code, message, details) of an error answer.

    The exchange uses three shapes, and the servers in front of it none of them; then all three are empty.
    """
    try:
        answer = msgspec.json.decode(body)
    except _UNREADABLE:
        return "", "", ""
    if not isinstance(answer, dict):
        return "", "", ""
    error = answer.get("error", answer)
    if isinstance(error, str):
        return "", error, ""
    if not isinstance(error, dict):
        return "", "", ""
    text = {name: str(error.get(name) or "") for name in ("code", "message", "msg", "details")}
    return text["code"], text["message"] or text["msg"], text["details"]
