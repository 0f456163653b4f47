"""The exchange's read endpoints, grouped and named as the exchange names them.

    async with Kalshi(Transport(PRODUCTION)) as kalshi:
        page = await kalshi.markets.list(status="open", limit=1000)

One call is one request with its retries. `crawl` follows cursors. Market data needs no key.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Self

from fairline.kalshi import wire
from fairline.kalshi.cursor import paginate
from fairline.kalshi.decoding import Page
from fairline.kalshi.errors import BadRequestError, KalshiError
from fairline.kalshi.history import HistoryGroup
from fairline.kalshi.http import Response
from fairline.kalshi.portfolio import PortfolioGroup
from fairline.kalshi.routes import MAX_MARKETS
from fairline.kalshi.transport import Params, Transport

Keep = Callable[[Response], None]
"""Called with each response that was decoded."""

PRODUCTION = "https://external-api.kalshi.com/trade-api/v2"
DEMO = "https://external-api.demo.kalshi.co/trade-api/v2"

MAX_EVENTS = 200
MAX_BOOKS = 100


class _Group:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport


class ExchangeGroup(_Group):
    async def status(self) -> wire.ExchangeStatus:
        return await self._transport.get("/exchange/status", decode=wire.exchange_status, signed=False)

    async def probe(self) -> wire.ExchangeStatus | None:
        """Return the status after a single attempt, even if it arrives with an error status, as in a pause.

        None if there is no readable answer.
        """
        try:
            response = await self._transport.once("/exchange/status", {})
            return wire.exchange_status(response.body)
        except KalshiError:
            return None


class SeriesGroup(_Group):
    async def list(self, *, category: str | None = None, keep: Keep | None = None) -> Page[wire.Series]:
        """Return every series in one answer (several MB). `category` is case-sensitive; an unknown one has no rows."""
        return await self._transport.get("/series", {"category": category}, decode=wire.series_list, keep=keep)

    async def get(self, ticker: str) -> wire.Series:
        path = f"/series/{check_ticker(ticker)}"
        return (await self._transport.get(path, decode=wire.one_series)).series

    async def fee_changes(self, series_ticker: str | None = None) -> Page[wire.SeriesFeeChange]:
        """Return past and scheduled fee changes of a series; without a ticker, the scheduled ones of all series."""
        params = {"series_ticker": series_ticker, "show_historical": "true" if series_ticker else None}
        return await self._transport.get("/series/fee_changes", params, decode=wire.series_fee_changes)


class EventsGroup(_Group):
    async def get(self, event_ticker: str) -> wire.Event:
        path = f"/events/{check_ticker(event_ticker)}"
        return (await self._transport.get(path, decode=wire.one_event)).event

    async def fee_changes(self, event_ticker: str | None = None) -> Page[wire.EventFeeChange]:
        """Return past and scheduled changes of an event's fee overrides, or of all events'."""

        async def fetch(cursor: str | None) -> Page[wire.EventFeeChange]:
            params: Params = {"event_ticker": event_ticker, "limit": 1000, "cursor": cursor}
            return await self._transport.get("/events/fee_changes", params, decode=wire.event_fee_changes)

        changes = Page[wire.EventFeeChange]([], [], None)
        async for page in paginate(fetch, MAX_MARKETS):
            changes.rows.extend(page.rows)
            changes.rejected.extend(page.rejected)
        return changes

    async def list(
        self,
        *,
        limit: int = MAX_EVENTS,
        cursor: str | None = None,
        status: str | None = None,
        series_ticker: str | None = None,
        tickers: str | None = None,
    ) -> Page[wire.Event]:
        """Return one page (at most 200) of events with their milestones, without combos."""
        params = {
            "limit": limit,
            "cursor": cursor,
            "status": status,
            "series_ticker": series_ticker,
            "tickers": tickers,
            "with_milestones": "true",
        }
        return await self._transport.get("/events", params, decode=wire.events_page)


class MarketsGroup(_Group):
    async def list(
        self,
        *,
        limit: int = MAX_MARKETS,
        cursor: str | None = None,
        status: str | None = None,
        event_ticker: str | None = None,
        series_ticker: str | None = None,
        tickers: str | None = None,
        mve_filter: str | None = "exclude",
        min_created_ts: int | None = None,
        max_created_ts: int | None = None,
        min_close_ts: int | None = None,
        max_close_ts: int | None = None,
    ) -> Page[wire.Market]:
        """Return one page (at most 1,000) of markets. Times are Unix seconds. `mve_filter=None` includes combos."""
        params = {
            "limit": limit,
            "cursor": cursor,
            "status": status,
            "event_ticker": event_ticker,
            "series_ticker": series_ticker,
            "tickers": tickers,
            "mve_filter": mve_filter,
            "min_created_ts": min_created_ts,
            "max_created_ts": max_created_ts,
            "min_close_ts": min_close_ts,
            "max_close_ts": max_close_ts,
        }
        return await self._transport.get("/markets", params, decode=wire.markets_page)

    async def page(self, params: Mapping[str, str | int], keep: Keep | None = None) -> Page[wire.Market]:
        """Return the page for exactly these parameters."""
        return await self._transport.get("/markets", params, decode=wire.markets_page, keep=keep)

    async def get(self, ticker: str) -> wire.Market:
        return (await self._transport.get(f"/markets/{check_ticker(ticker)}", decode=wire.one_market)).market

    async def settlements(self, tickers: Iterable[str]) -> Page[wire.Settlement]:
        """Return the settlements of at most 300 markets. Unknown and unsettled markets are not among the rows."""
        names = ",".join(check_ticker(ticker) for ticker in tickers)
        params: Params = {"limit": MAX_MARKETS, "status": "settled", "tickers": names}
        return await self._transport.get("/markets", params, decode=wire.settlements_page)

    async def settlements_since(self, min_settled_ts: int, cursor: str | None = None) -> Page[wire.Settlement]:
        """Return one page of settlements at or after a Unix second, the latest first, without archive and combos."""
        params: Params = {
            "limit": MAX_MARKETS,
            "status": "settled",
            "mve_filter": "exclude",
            "min_settled_ts": min_settled_ts,
            "cursor": cursor,
        }
        return await self._transport.get("/markets", params, decode=wire.settlements_page)

    async def order_books(self, tickers: Iterable[str]) -> Page[wire.OrderBook]:
        """Return the order books of at most 100 markets.

        The exchange takes a comma-separated list for one unknown ticker, so tickers with a comma are refused here.
        """
        names = [check_ticker(ticker) for ticker in tickers]
        return await self._transport.get("/markets/orderbooks", {"tickers": names}, decode=wire.order_books)


class HistoricalGroup(_Group):
    """The archive of markets settled some months ago."""

    async def settlements(self, tickers: Iterable[str]) -> Page[wire.Settlement]:
        """Return the settlements of archived markets. Markets not in the archive are not among the rows."""
        names = ",".join(check_ticker(ticker) for ticker in tickers)
        params: Params = {"limit": MAX_MARKETS, "tickers": names}
        return await self._transport.get("/historical/markets", params, decode=wire.settlements_page)


class MemberGroup(_Group):
    """The endpoints of the article, behind its token. The real exchange has none of them."""

    async def balance(self) -> wire.Balance:
        return await self._transport.get("/member/balance", decode=wire.balance)


class AccountGroup(_Group):
    async def limits(self) -> wire.AccountLimits:
        return await self._transport.get("/account/limits", decode=wire.account_limits)

    async def endpoint_costs(self) -> wire.EndpointCosts:
        """Return the cost of each endpoint in tokens. Public."""
        return await self._transport.get("/account/endpoint_costs", decode=wire.endpoint_costs, signed=False)


class Kalshi:
    """The exchange's endpoints over one transport. An async context manager that closes the transport."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.exchange = ExchangeGroup(transport)
        self.series = SeriesGroup(transport)
        self.events = EventsGroup(transport)
        self.markets = MarketsGroup(transport)
        self.historical = HistoricalGroup(transport)
        self.history = HistoryGroup(transport)
        self.portfolio = PortfolioGroup(transport)
        self.account = AccountGroup(transport)
        self.member = MemberGroup(transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.transport.close()


def is_plain(ticker: str) -> bool:
    """Return whether a ticker can be sent in a request."""
    return bool(ticker) and not any(c in ticker for c in ", /?#&")


def check_ticker(ticker: str) -> str:
    """Return the ticker if it can be sent in a request. Raises `BadRequestError` before anything is sent."""
    if not is_plain(ticker):
        raise BadRequestError(
            f"{ticker!r} is not a ticker", remedy="A ticker contains no comma, space or slash", status=400
        )
    return ticker
