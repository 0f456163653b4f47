"""Compare an exchange with what this version expects: read-only, with at most 60 requests.

The report names checks, counts, keys and examples of market data. It contains no key id, signature, account value or
address other than the exchange's host, so it can be attached to an issue.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlsplit

from fairline.kalshi import contract_checks as checks
from fairline.kalshi import wire
from fairline.kalshi.auth import ApiKeyAuth
from fairline.kalshi.contract_checks import Finding
from fairline.kalshi.decoding import Page
from fairline.kalshi.diagnosis import Check, Status
from fairline.kalshi.errors import ApiError, KalshiError
from fairline.kalshi.transport import Params, Transport
from fairline.kalshi.windows import second_of

MAX_REQUESTS = 60
PAGE = 1_000
SAMPLE_EVENTS = 50
SAMPLE_BOOKS = 50
DAY_S = 86_400
SETTLED_DAYS = 30

OUTDATED = "This version may be outdated: update Fairline, or attach this report to an issue"


@dataclass(slots=True)
class ContractReport:
    """The checks, the number of requests, and the keys that were seen in each kind of object."""

    exchange: str
    checked_ts: str
    requests: int = 0
    checks: list[Check] = field(default_factory=list)
    keys: dict[str, list[str]] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return not any(check.status == "fail" for check in self.checks)


class ContractCheck:
    """`run()` checks once. Without a key, checks that need one are skipped."""

    def __init__(
        self, transport: Transport, websocket_url: str = "", *, clock: Callable[[], float] = time.time
    ) -> None:
        self._transport = transport
        self._websocket_url = websocket_url
        self._clock = clock
        moment = datetime.fromtimestamp(clock(), UTC)
        host = urlsplit(transport.base_url).hostname or ""
        self._report = ContractReport(host, f"{moment:%Y-%m-%dT%H:%M:%SZ}")
        self._first: Page[wire.Market] = Page([], [], None)

    async def run(self) -> ContractReport:
        """Run every check and return the report. Raises nothing: a check that cannot be made fails."""
        steps: dict[str, Callable[[], Awaitable[Finding | None]]] = {
            "status": self._check_status,
            "markets": self._check_markets,
            "paging": self._check_paging,
            "filters": self._check_filters,
            "windows": self._check_windows,
            "events": self._check_events,
            "series and fees": self._check_series,
            "fee changes": self._check_fee_changes,
            "order books": self._check_books,
            "settlements": self._check_settlements,
            "costs": self._check_costs,
            "account": self._check_account,
            "feed": self._check_feed,
        }
        for name, step in steps.items():
            self._report.checks.append(await self._run_step(name, step))
        self._report.requests = self._transport.traffic.requests
        return self._report

    async def _run_step(self, name: str, step: Callable[[], Awaitable[Finding | None]]) -> Check:
        if self._transport.traffic.requests >= MAX_REQUESTS - 5:
            return Check(name, "skipped", f"the limit of {MAX_REQUESTS} requests is reached")
        try:
            finding = await step()
        except KalshiError as error:
            return Check(name, "fail", error.message, OUTDATED)
        if finding is None:
            return Check(name, "skipped", "no API key is set")
        status: Status = "fail" if finding.faults else "warn" if finding.warnings else "pass"
        evidence = "; ".join(filter(None, (*finding.faults, *finding.warnings, finding.evidence)))
        return Check(name, status, evidence, "" if status == "pass" else OUTDATED)

    async def _read(self, path: str, params: Params | None = None) -> bytes:
        return await self._transport.get(path, params, decode=bytes, signed=False)

    async def _read_markets(self, **params: str | int) -> Page[wire.Market]:
        defaults: dict[str, str | int] = {"limit": PAGE, "mve_filter": "exclude"}
        return wire.markets_page(await self._read("/markets", defaults | params))

    def _note_keys(self, kind: str, body: bytes, name: str) -> None:
        self._report.keys[kind] = sorted({key for row in checks.raw_rows(body, name) for key in row})

    async def _check_status(self) -> Finding:
        status = wire.exchange_status(await self._read("/exchange/status"))
        if status.exchange_active and status.trading_active:
            return Finding("active and trading")
        return Finding(warnings=["the exchange or trading is paused"])

    async def _check_markets(self) -> Finding:
        body = await self._read("/markets", {"limit": PAGE, "mve_filter": "exclude", "status": "open"})
        self._note_keys("market", body, "markets")
        finding, page = checks.check_rows(body, "markets", wire.markets_page, wire.Market)
        if page is not None:
            self._first = page
            finding.merge(checks.check_cursor_key(page, PAGE))
            finding.merge(checks.check_markets(page))
        return finding

    async def _check_paging(self) -> Finding:
        finding = Finding()
        small = await self._read_markets(status="open", limit=10)
        finding.merge(checks.check_cursor_key(small, 10))
        if small.size != 10 and self._first.size >= 10:
            finding.faults.append(f"limit=10 returned {small.size:,} markets")
        if small.cursor:
            following = await self._read_markets(status="open", limit=10, cursor=small.cursor)
            finding.merge(checks.check_following_page(small, following))
        elif self._first.size > 10:
            finding.faults.append("a page of 10 markets has no following page")
        return finding

    async def _check_filters(self) -> Finding:
        """Check the filters that scans send, each with a value from the first page."""
        finding = Finding()
        if not self._first.rows:
            return Finding(warnings=["no market to filter by"])
        market = self._first.rows[0]
        series = market.event_ticker.partition("-")[0]
        tickers = [row.ticker for row in self._first.rows[:3]]
        requests: dict[str, tuple[dict[str, str | int], Callable[[wire.Market], bool]]] = {
            "event_ticker": (
                {"event_ticker": market.event_ticker},
                lambda row: row.event_ticker == market.event_ticker,
            ),
            "series_ticker": ({"series_ticker": series}, lambda row: row.event_ticker.startswith(series)),
            "tickers": ({"tickers": ",".join(tickers)}, lambda row: row.ticker in tickers),
            "status": ({"status": "closed"}, lambda row: row.status in wire.STATUS_FIELDS["closed"]),
            "mve_filter": ({"status": "open"}, lambda row: row.mve_collection_ticker is None),
        }
        for name, (params, allows) in requests.items():
            page = await self._read_markets(**({"limit": 100} | params))
            finding.merge(checks.check_filter(name, page, allows))
        return finding

    async def _check_windows(self) -> Finding:
        """Check the time windows that a crawl divides a listing into."""
        created = sorted(row.created_time for row in self._first.rows if row.created_time)
        if not created:
            return Finding(warnings=["no market states created_time: a crawl uses one cursor"])
        middle = second_of(created[len(created) // 2])
        try:
            page = await self._read_markets(limit=100, status="open", max_created_ts=middle)
        except ApiError as error:
            return Finding(warnings=[f"time windows are refused ({error.status}): a crawl uses one cursor"])
        finding = checks.check_filter(
            "max_created_ts", page, lambda row: row.created_time is None or second_of(row.created_time) <= middle + 2
        )
        now = int(self._clock())
        closing = await self._read_markets(limit=100, min_close_ts=now, max_close_ts=now + DAY_S)
        finding.merge(
            checks.check_filter("max_close_ts", closing, lambda row: second_of(row.close_time) <= now + DAY_S + 2)
        )
        # Windows that are ignored cost requests, not markets.
        finding.warnings += finding.faults
        finding.faults = []
        return finding

    async def _check_events(self) -> Finding:
        tickers = list(dict.fromkeys(row.event_ticker for row in self._first.rows))[:SAMPLE_EVENTS]
        params: Params = {"tickers": ",".join(tickers), "limit": 200, "with_milestones": "true"}
        body = await self._read("/events", params)
        self._note_keys("event", body, "events")
        finding, page = checks.check_rows(body, "events", wire.events_page, wire.Event)
        if page is not None:
            finding.merge(checks.check_events(tickers, page))
        return finding

    async def _check_series(self) -> Finding:
        body = await self._read("/series")
        self._note_keys("series", body, "series")
        finding, page = checks.check_rows(body, "series", wire.series_list, wire.Series)
        if page is not None:
            finding.merge(checks.check_series(page))
        return finding

    async def _check_fee_changes(self) -> Finding:
        series = wire.series_fee_changes(await self._read("/series/fee_changes"))
        events = wire.event_fee_changes(await self._read("/events/fee_changes", {"limit": 100}))
        finding = Finding(f"{series.size:,} of series, {events.size:,} of events")
        finding.faults += [str(row) for row in (*series.rejected, *events.rejected)][: checks.MAX_EXAMPLES]
        return finding

    async def _check_books(self) -> Finding:
        markets = self._first.rows[:SAMPLE_BOOKS]
        if not markets:
            return Finding(warnings=["no market to read an order book of"])
        body = await self._read("/markets/orderbooks", {"tickers": [row.ticker for row in markets]})
        finding, page = checks.check_rows(body, "orderbooks", wire.order_books, wire.OrderBook)
        if page is not None:
            finding.merge(checks.check_books(markets, page))
        return finding

    async def _check_settlements(self) -> Finding:
        params: Params = {
            "limit": 200,
            "status": "settled",
            "mve_filter": "exclude",
            "min_settled_ts": int(self._clock()) - SETTLED_DAYS * DAY_S,
        }
        body = await self._read("/markets", params)
        self._note_keys("settlement", body, "markets")
        finding, page = checks.check_rows(body, "markets", wire.settlements_page, wire.Settlement, may_be_empty=True)
        if page is not None:
            finding.merge(checks.check_cursor_key(page, 200))
            finding.merge(checks.check_settlements(page))
        return finding

    async def _check_costs(self) -> Finding:
        costs = wire.endpoint_costs(await self._read("/account/endpoint_costs"))
        return Finding(f"{costs.default_cost:g} tokens per request, {len(costs.endpoint_costs):,} exceptions")

    async def _check_account(self) -> Finding | None:
        """Check that the limits of the account can be read. Their values are not reported."""
        if not isinstance(self._transport.auth, ApiKeyAuth):
            return None
        await self._transport.get("/account/limits", decode=wire.account_limits)
        return Finding("limits can be read")

    async def _check_feed(self) -> Finding | None:
        if not isinstance(self._transport.auth, ApiKeyAuth) or not self._websocket_url:
            return None
        await self._transport.handshake(self._websocket_url, urlsplit(self._websocket_url).path)
        return Finding("the signed handshake passes")
