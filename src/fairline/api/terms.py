"""The fee terms of a listed market."""

from dataclasses import asdict
from datetime import datetime
from decimal import Decimal

from fairline.api.options import Connection
from fairline.config.settings import load_settings
from fairline.kalshi import Kalshi, Transport
from fairline.market.frame import NOTIONAL_U
from fairline.market.terms import Terms, terms_at
from fairline.market.tickers import parse_market_ticker


async def read_terms(connection: Connection, ticker: str, at: datetime) -> tuple[Terms, int | None]:
    """Return the terms of a market and its best ask in micro-dollars, None without an ask."""
    url = load_settings(asdict(connection)).url
    async with Kalshi(Transport(url)) as kalshi:
        return await _terms_of(kalshi, parse_market_ticker(ticker), at)


async def _terms_of(kalshi: Kalshi, ticker: str, at: datetime) -> tuple[Terms, int | None]:
    market = await kalshi.markets.get(ticker)
    event = await kalshi.events.get(market.event_ticker)
    series = await kalshi.series.get(event.series_ticker)
    changes = (await kalshi.series.fee_changes(series.ticker)).rows
    overrides = (await kalshi.events.fee_changes(event.event_ticker)).rows
    waiver = market.fee_waiver_expiration_time
    until = datetime.fromisoformat(waiver) if waiver else None
    terms = terms_at(series, changes, event, overrides, at, waived_until=until)
    offered = float(market.yes_ask_size_fp) > 0
    return terms, round(Decimal(market.yes_ask_dollars) * NOTIONAL_U) if offered else None
