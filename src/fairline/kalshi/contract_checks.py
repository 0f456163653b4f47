"""Compare answers of the exchange with what this version expects. Pure functions of bytes and rows."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from typing import Any

import msgspec

from fairline.kalshi import wire
from fairline.kalshi.decoding import MARKET_TYPES, Page
from fairline.kalshi.errors import KalshiError
from fairline.kalshi.windows import second_of

KNOWN_RESULTS = ("yes", "no", "scalar", "")
KNOWN_FEE_TYPES = ("quadratic", "quadratic_with_maker_fees", "quadratic_with_combo_maker_fees", "flat")
KNOWN_STATUSES = tuple(status for statuses in wire.STATUS_FIELDS.values() for status in statuses)
MAX_EXAMPLES = 3
OPTIONAL_KEYS = {
    "(milestone)",
    "cap_strike",
    "custom_strike",
    "fee_multiplier_override",
    "fee_type_override",
    "fee_waiver_expiration_time",
    "floor_strike",
    "is_provisional",
    "mve_collection_ticker",
    "settlement_cap_dollars",
    "settlement_floor_dollars",
}
"""Keys that many objects lack, so that a page without them means nothing."""


@dataclass(slots=True)
class Finding:
    """The result of one check: evidence, faults (data cannot be used) and warnings (data is new or absent)."""

    evidence: str = ""
    faults: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def merge(self, other: "Finding") -> None:
        self.evidence = "; ".join(filter(None, (self.evidence, other.evidence)))
        self.faults += other.faults
        self.warnings += other.warnings


def raw_rows(body: bytes, name: str) -> list[dict[str, Any]]:
    """Return the objects of a list as they were sent. Objects of another type are left out."""
    try:
        document = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return []
    rows = document.get(name) if isinstance(document, dict) else None
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def check_rows(
    body: bytes,
    name: str,
    decode: Callable[[bytes], Page[Any]],
    struct: type[msgspec.Struct],
    *,
    may_be_empty: bool = False,
) -> tuple[Finding, Page[Any] | None]:
    """Check that a page has rows, that all can be read, and that the keys which are used are there."""
    finding = Finding()
    try:
        page = decode(body)
    except KalshiError as error:
        finding.faults.append(error.message)
        return finding, None
    finding.evidence = f"{page.size:,} {name}"
    if not page.size:
        (finding.warnings if may_be_empty else finding.faults).append(f"the list of {name} is empty")
    if page.rejected:
        examples = "; ".join(str(row) for row in page.rejected[:MAX_EXAMPLES])
        finding.faults.append(f"{len(page.rejected):,} of {page.size:,} {name} cannot be read: {examples}")
    rows = raw_rows(body, name)
    used = {key.encode_name for key in msgspec.structs.fields(struct)} - OPTIONAL_KEYS
    absent = sorted(key for key in used if rows and not any(key in row for row in rows))
    if absent:
        finding.warnings.append(f"no row has {', '.join(absent)}")
    return finding, page


def check_cursor_key(page: Page[Any], limit: int) -> Finding:
    """Check that a page states its cursor: an empty text ends a listing, and a missing key does not."""
    if not page.cursor_missing:
        return Finding("cursor present")
    finding = Finding()
    message = "the answer has no cursor"
    (finding.faults if page.size >= limit else finding.warnings).append(message)
    return finding


def check_known(noun: str, values: Iterable[str | None], known: Sequence[str]) -> Finding:
    """Warn about values of an enumeration that this version does not know."""
    unknown = sorted({value for value in values if value is not None and value not in known})
    return Finding(warnings=[f"unknown {noun}: {', '.join(unknown[:MAX_EXAMPLES])}"] if unknown else [])


def check_markets(page: Page[wire.Market]) -> Finding:
    """Check prices, sizes, times and enumerations of markets."""
    finding = check_known("market_type", (row.market_type for row in page.rows), MARKET_TYPES)
    finding.merge(check_known("status", (row.status for row in page.rows), KNOWN_STATUSES))
    prices = [(row.ticker, price) for row in page.rows for price in (row.yes_bid_dollars, row.yes_ask_dollars)]
    finding.merge(_check_numbers("price", prices, Decimal(1)))
    sizes = [(row.ticker, size) for row in page.rows for size in (row.yes_bid_size_fp, row.yes_ask_size_fp)]
    finding.merge(_check_numbers("size", sizes, None))
    finding.merge(_check_times("close_time", [(row.ticker, row.close_time) for row in page.rows]))
    crossed = [row.ticker for row in page.rows if _is_crossed(row)]
    if crossed:
        finding.warnings.append(f"bid above ask in {len(crossed):,} markets, such as {crossed[0]}")
    return finding


def _is_crossed(row: wire.Market) -> bool:
    try:
        both = Decimal(row.yes_bid_size_fp) > 0 and Decimal(row.yes_ask_size_fp) > 0
        return both and Decimal(row.yes_bid_dollars) > Decimal(row.yes_ask_dollars)
    except InvalidOperation:
        return False


def _check_numbers(noun: str, values: Iterable[tuple[str, str]], most: Decimal | None) -> Finding:
    bad = [f"{ticker} {text!r}" for ticker, text in values if not _is_number(text, most)]
    faults = [f"{len(bad):,} values are not a {noun}, such as {bad[0]}"] if bad else []
    return Finding(faults=faults)


def _is_number(text: str, most: Decimal | None) -> bool:
    try:
        value = Decimal(text)
    except InvalidOperation:
        return False
    return value.is_finite() and value >= 0 and (most is None or value <= most)


def _check_times(noun: str, values: Iterable[tuple[str, str]]) -> Finding:
    bad = [ticker for ticker, text in values if not _is_time(text)]
    return Finding(faults=[f"{len(bad):,} values of {noun} are not times, such as that of {bad[0]}"] if bad else [])


def _is_time(text: str) -> bool:
    try:
        second_of(text)
    except (ValueError, OverflowError):
        return False
    return True


def check_following_page(first: Page[wire.Market], second: Page[wire.Market]) -> Finding:
    """Check that the page behind a cursor continues the one before it, newest first and without repetition."""
    finding = Finding(f"page 2 has {second.size:,} markets")
    repeated = {row.ticker for row in first.rows} & {row.ticker for row in second.rows}
    if len(repeated) > len(second.rows) // 100:
        finding.faults.append(f"{len(repeated):,} markets of page 1 are on page 2 again")
    if second.cursor and second.cursor == first.cursor:
        finding.faults.append("page 2 has the cursor of page 1")
    created = [row.created_time for row in (*first.rows, *second.rows) if row.created_time]
    disorder = sum(earlier[:19] < later[:19] for earlier, later in pairwise(created))
    if disorder:
        finding.warnings.append(f"{disorder:,} markets are not listed newest first: a crawl takes more requests")
    return finding


def check_filter(name: str, page: Page[wire.Market], allows: Callable[[wire.Market], bool]) -> Finding:
    """Check that every row satisfies the filter that was sent."""
    outside = [row.ticker for row in page.rows if not allows(row)]
    finding = Finding(f"{name}: {len(page.rows):,} markets")
    if outside:
        finding.faults.append(f"{name} is ignored: {len(outside):,} of {len(page.rows):,} rows, such as {outside[0]}")
    return finding


def check_series(page: Page[wire.Series]) -> Finding:
    """Check the fee terms of series."""
    finding = check_known("fee_type", (row.fee_type for row in page.rows), KNOWN_FEE_TYPES)
    lacking = [row.ticker for row in page.rows if row.fee_multiplier is None or row.fee_type is None]
    if lacking:
        share = f"{len(lacking):,} of {len(page.rows):,}"
        finding.faults.append(f"fee_type or fee_multiplier is missing for {share} series, such as {lacking[0]}")
    return finding


def check_events(tickers: Sequence[str], page: Page[wire.Event]) -> Finding:
    """Check that the events which were requested are in the answer."""
    missing = sorted(set(tickers) - {row.event_ticker for row in page.rows})
    if not missing:
        return Finding()
    message = f"{len(missing):,} of {len(tickers):,} requested events are missing, such as {missing[0]}"
    return Finding(faults=[message])


def check_books(markets: Sequence[wire.Market], page: Page[wire.OrderBook]) -> Finding:
    """Check that the requested order books are there, with both sides and readable levels."""
    finding = Finding()
    missing = {row.ticker for row in markets} - {row.ticker for row in page.rows}
    if missing:
        finding.faults.append(f"{len(missing):,} of {len(markets):,} order books cannot be used")
    levels = [
        (book.ticker, level)
        for book in page.rows
        for side in (book.orderbook_fp.yes_dollars, book.orderbook_fp.no_dollars)
        for level in side or []
    ]
    finding.merge(_check_numbers("price", [(ticker, price) for ticker, (price, _) in levels], Decimal(1)))
    finding.merge(_check_numbers("size", [(ticker, size) for ticker, (_, size) in levels], None))
    quoted = {row.ticker for row in markets if _has_size(row.yes_bid_size_fp)}
    empty = [book.ticker for book in page.rows if book.ticker in quoted and not book.orderbook_fp.yes_dollars]
    if len(empty) > len(quoted) // 2:
        finding.faults.append(f"{len(empty):,} of {len(quoted):,} markets with a bid have an empty order book")
    return finding


def _has_size(text: str) -> bool:
    return _is_number(text, None) and Decimal(text) > 0


def check_settlements(page: Page[wire.Settlement]) -> Finding:
    """Check results, payouts and times of settlements."""
    finding = check_known("result", (row.result for row in page.rows), KNOWN_RESULTS)
    values = [(r.ticker, r.settlement_value_dollars) for r in page.rows if r.settlement_value_dollars is not None]
    finding.merge(_check_numbers("payout between 0 and 1", values, Decimal(1)))
    times = [(row.ticker, row.settlement_ts) for row in page.rows if row.settlement_ts is not None]
    finding.merge(_check_times("settlement_ts", times))
    return finding
