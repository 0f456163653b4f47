"""The exchange's read endpoints, grouped and named as the exchange names them.

    async with Kalshi(Transport(PRODUCTION)) as kalshi:
        page = await kalshi.markets.list(status="open", limit=1000)

One call is one request (with its retries); walking cursors is `crawl`'s business. Market data needs no key.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Self

from fairline.kalshi import wire
from fairline.kalshi.decoding import Page
from fairline.kalshi.errors import BadRequestError, KalshiError
from fairline.kalshi.http import Response
from fairline.kalshi.routes import MAX_MARKETS
from fairline.kalshi.transport import Params, Transport
from fairline.kalshi.walk import walk

Keep = Callable[[Response], None]
"""Handed each response that decoded."""

PRODUCTION = "https://external-api.kalshi.com/trade-api/v2"
DEMO = "https://external-api.demo.kalshi.co/trade-api/v2"

MAX_EVENTS = 200
MAX_BOOKS = 100


class _Group:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport


class Exchange(_Group):
    async def status(self) -> wire.ExchangeStatus:
        return await self._transport.get("/exchange/status", decode=wire.exchange_status, signed=False)

    async def glance(self) -> wire.ExchangeStatus | None:
        """The same by a single try, also where it comes with an error's status, as in a pause; None if it cannot be
        told.
        """
        try:
            response = await self._transport.once("/exchange/status", {})
            return wire.exchange_status(response.body)
        except KalshiError:
            return None


class SeriesGroup(_Group):
    async def list(self, *, category: str | None = None, keep: Keep | None = None) -> Page[wire.Series]:
        """Every series in one answer (some MB). `category` is case-sensitive; an unknown one gives no rows."""
        return await self._transport.get("/series", {"category": category}, decode=wire.series_list, keep=keep)

    async def get(self, ticker: str) -> wire.Series:
        path = f"/series/{checked_ticker(ticker)}"
        return (await self._transport.get(path, decode=wire.one_series)).series

    async def fee_changes(self, series_ticker: str | None = None) -> Sequence[wire.SeriesFeeChange]:
        """Past and scheduled changes of a series' fee terms; without a ticker the scheduled ones of all."""
        params = {"series_ticker": series_ticker, "show_historical": "true" if series_ticker else None}
        return (await self._transport.get("/series/fee_changes", params, decode=wire.series_fee_changes)).rows


class Events(_Group):
    async def get(self, event_ticker: str) -> wire.Event:
        path = f"/events/{checked_ticker(event_ticker)}"
        return (await self._transport.get(path, decode=wire.one_event)).event

    async def fee_changes(self, event_ticker: str | None = None) -> Sequence[wire.EventFeeChange]:
        """Past and scheduled changes of an event's overrides, or of all events'."""

        async def page(cursor: str | None) -> Page[wire.EventFeeChange]:
            params: Params = {"event_ticker": event_ticker, "limit": 1000, "cursor": cursor}
            return await self._transport.get("/events/fee_changes", params, decode=wire.event_fee_changes)

        return [change async for read in walk(page) for change in read.rows]

    async def list(
        self,
        *,
        limit: int = MAX_EVENTS,
        cursor: str | None = None,
        status: str | None = None,
        series_ticker: str | None = None,
        tickers: str | None = None,
    ) -> Page[wire.Event]:
        """One page (at most 200) of events with their milestones, combos excluded."""
        params = {
            "limit": limit,
            "cursor": cursor,
            "status": status,
            "series_ticker": series_ticker,
            "tickers": tickers,
            "with_milestones": "true",
        }
        return await self._transport.get("/events", params, decode=wire.events_page)


class Markets(_Group):
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
        """One page (at most 1,000) of markets; times are Unix seconds. Combos are left out unless asked for."""
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
        """One page for these very parameters: for who walks."""
        return await self._transport.get("/markets", params, decode=wire.markets_page, keep=keep)

    async def get(self, ticker: str) -> wire.Market:
        return (await self._transport.get(f"/markets/{checked_ticker(ticker)}", decode=wire.one_market)).market

    async def settlements(self, tickers: Iterable[str]) -> Page[wire.Settlement]:
        """How at most 300 markets ended; unknown ones and ones still open are silently not among the rows."""
        names = ",".join(checked_ticker(ticker) for ticker in tickers)
        params: Params = {"limit": MAX_MARKETS, "status": "settled", "tickers": names}
        return await self._transport.get("/markets", params, decode=wire.settlements_page)

    async def settled(self, min_settled_ts: int, cursor: str | None = None) -> Page[wire.Settlement]:
        """One page of how markets ended that were settled at that Unix second or later, the latest first; without what
        is in the archive, and without combos.
        """
        params: Params = {
            "limit": MAX_MARKETS, "status": "settled", "mve_filter": "exclude", "min_settled_ts": min_settled_ts,
            "cursor": cursor,
        }  # fmt: skip
        return await self._transport.get("/markets", params, decode=wire.settlements_page)

    async def order_books(self, tickers: Iterable[str]) -> Page[wire.OrderBook]:
        """Books of at most 100 markets. A comma list would silently be taken as one unknown ticker, so a ticker
        with a comma in it is refused here.
        """
        names = [checked_ticker(ticker) for ticker in tickers]
        return await self._transport.get("/markets/orderbooks", {"tickers": names}, decode=wire.order_books)


class Historical(_Group):
    """The archive: what was settled some months ago."""

    async def settlements(self, tickers: Iterable[str]) -> Page[wire.Settlement]:
        """How markets in the archive ended; those that are not in it are silently not among the rows."""
        names = ",".join(checked_ticker(ticker) for ticker in tickers)
        params: Params = {"limit": MAX_MARKETS, "tickers": names}
        return await self._transport.get("/historical/markets", params, decode=wire.settlements_page)


class Portfolio(_Group):
    async def balance(self) -> wire.Balance:
        return await self._transport.get("/portfolio/balance", decode=wire.balance)


class Member(_Group):
    """The article's surface, behind its token; the real exchange has no such endpoint."""

    async def balance(self) -> wire.Balance:
        return await self._transport.get("/member/balance", decode=wire.balance)


class Account(_Group):
    async def limits(self) -> wire.AccountLimits:
        return await self._transport.get("/account/limits", decode=wire.account_limits)

    async def endpoint_costs(self) -> wire.EndpointCosts:
        """What each endpoint costs in tokens; public."""
        return await self._transport.get("/account/endpoint_costs", decode=wire.endpoint_costs, signed=False)


class Kalshi:
    """The exchange through one transport; an async context manager that closes it."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.exchange = Exchange(transport)
        self.series = SeriesGroup(transport)
        self.events = Events(transport)
        self.markets = Markets(transport)
        self.historical = Historical(transport)
        self.portfolio = Portfolio(transport)
        self.account = Account(transport)
        self.member = Member(transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.transport.close()


def is_plain(ticker: str) -> bool:
    """Whether a ticker can stand alone in a request."""
    return bool(ticker) and not any(c in ticker for c in ", /?#&")


def checked_ticker(ticker: str) -> str:
    """The ticker, if it can stand alone in a request. Raises `BadRequestError` before anything is sent."""
    if not is_plain(ticker):
        raise BadRequestError(f"{ticker!r} is not a ticker", remedy="A ticker has no comma, space or slash", status=400)
    return ticker
