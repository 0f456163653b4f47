"""From the bytes of an answer to objects, and what does not fit by name.

A page is decoded in one go. If one object of it does not fit, the page is decoded once more, object by object, and
what does not fit is handed out as `Rejected` with its ticker, field and value, so that it costs one row.
"""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec

from fairline.kalshi.errors import ResponseError, ShapeError

T = TypeVar("T")
Bytes = bytes | memoryview


class Rejected(msgspec.Struct, frozen=True):
    """An object that is not usable: which one, which field, what stood there, and why it was refused."""

    ticker: str
    field: str
    value: str
    reason: str

    def __str__(self) -> str:
        shown = f" = {self.value}" if self.value else ""
        return f"{self.ticker or '(no ticker)'}: {self.field}{shown}: {self.reason}"


class Page(msgspec.Struct, Generic[T], frozen=True):
    """The usable objects of one page, those that were not, and the cursor of the next (None at the end)."""

    rows: list[T]
    rejected: list[Rejected]
    cursor: str | None


def page_decoder(envelope: type[Any], name: str, row: type[T], id_field: str) -> Callable[[Bytes], Page[T]]:
    fast = msgspec.json.Decoder(envelope)
    one = msgspec.json.Decoder(row)

    def decode(body: Bytes) -> Page[T]:
        try:
            page = fast.decode(body)
        except msgspec.ValidationError:
            return _decode_singly(body, name, one, id_field)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise _not_json(body, error) from None
        return Page(getattr(page, name), [], page.cursor or None)

    return decode


def _decode_singly(body: Bytes, name: str, one: "msgspec.json.Decoder[T]", id_field: str) -> Page[T]:
    """The slow way through a page on which at least one object does not fit."""
    try:
        envelope = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        raws = msgspec.json.decode(envelope[name], type=list[msgspec.Raw])
        cursor = msgspec.json.decode(envelope.get("cursor", b"null"), type=str | None)
    except (msgspec.MsgspecError, KeyError):
        raise ShapeError(
            f"the answer has no list of {name} and cursor as the exchange sends it",
            remedy="Check that --exchange points at the trade API",
        ) from None
    rows: list[T] = []
    rejected: list[Rejected] = []
    for raw in raws:
        try:
            rows.append(one.decode(raw))
        except msgspec.ValidationError as error:
            rejected.append(_explain(raw, str(error), id_field))
    return Page(rows, rejected, cursor or None)


# Fields that the exchange retired, by the name that replaced them: a row that still has them is of an old recording
# or an old proxy, and reading the new names from it as zero is how other tools came to buy at 0 cents.


RETIRED = {
    "yes_bid_dollars": "yes_bid",
    "yes_ask_dollars": "yes_ask",
    "yes_bid_size_fp": "yes_bid_size",
    "yes_ask_size_fp": "yes_ask_size",
}


def _explain(raw: msgspec.Raw, message: str, id_field: str) -> Rejected:
    """Turn msgspec's account of the first misfit into ticker, field, value and reason."""
    reason, _, path = message.partition(" - at `")
    name = path.rstrip("`").removeprefix("$").removeprefix(".")
    if not name and "`" in reason:
        name = reason.split("`")[1] if "required field" in reason else name
    item = msgspec.json.decode(raw)
    if not isinstance(item, dict):
        return Rejected("", "(whole object)", _short(item), "not a JSON object")
    ticker = item.get(id_field)
    for new, old in RETIRED.items():
        if new not in item and old in item:
            why = f"missing; the row has {old} = {_short(item[old])}: this is the cents format retired on 2026-03-12"
            return Rejected(str(ticker or ""), new, "", why)
    top = name.partition(".")[0].partition("[")[0]
    if top in item:
        reason = reason[:1].lower() + reason[1:]
        return Rejected(str(ticker or ""), top, _short(item[top]), reason)
    return Rejected(str(ticker or ""), top or "(object)", "", "missing")


def _short(value: object) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 60 else text[:57] + "…"


def _not_json(body: Bytes, error: Exception) -> ResponseError:
    head = bytes(body[:200]).lstrip().lower()
    if head.startswith(b"<"):
        return ResponseError("the answer is a web page, not JSON", remedy="A proxy or login page may be in between")
    if not body:
        return ResponseError("the answer is empty", remedy="Try again")
    return ResponseError(f"the answer is not JSON ({error})", remedy="Try again")


def object_decoder(shape: type[T]) -> Callable[[Bytes], T]:
    decoder = msgspec.json.Decoder(shape)

    def decode(body: Bytes) -> T:
        try:
            return decoder.decode(body)
        except msgspec.ValidationError as error:
            raise ShapeError(
                f"the answer is not a {shape.__name__}: {error}", remedy="Check that --exchange is the trade API"
            ) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise _not_json(body, error) from None

    return decode


def error_body(body: Bytes) -> tuple[str, str, str]:
    """(code, message, details) of an error answer; the exchange uses three shapes, and its front none of them."""
    try:
        answer = msgspec.json.decode(body)
    except msgspec.DecodeError:
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
