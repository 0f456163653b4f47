"""Calls every market-data and account read of the official SDK: `official.py MODULE URL KEY_ID KEY_FILE`.

Works with the synchronous and the asynchronous SDK. Reads facts about the served world as JSON from standard input, and
writes one line of JSON per call to standard output.
"""

import asyncio
import importlib
import inspect
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

Call = Callable[..., Any]


async def await_if_needed(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


async def read_pages(call: Call, field: str, name: str, **query: Any) -> str:
    """Read all pages and return how many there were. A repeated row is an error."""
    seen: list[str] = []
    pages = 0
    cursor = None
    while True:
        page = await await_if_needed(call(cursor=cursor, **query))
        rows = getattr(page, field)
        seen += [getattr(row, name) for row in rows]
        pages += 1
        cursor = getattr(page, "cursor", None)
        if not cursor:
            break
    assert len(seen) == len(set(seen)), "a row was repeated"
    return f"{len(seen)} in {pages} pages"


def calls(sdk: Any, client: Any, facts: dict[str, Any]) -> dict[str, Callable[[], Awaitable[Any]]]:
    market, events, exchange = sdk.MarketApi(client), sdk.EventsApi(client), sdk.ExchangeApi(client)
    past, account, portfolio = sdk.HistoricalApi(client), sdk.AccountApi(client), sdk.PortfolioApi(client)
    milestone, target, many = sdk.MilestoneApi(client), sdk.StructuredTargetsApi(client), sdk.MultivariateApi(client)
    search, orders, live = sdk.SearchApi(client), sdk.OrdersApi(client), sdk.LiveDataApi(client)
    hours = {"start_ts": facts["now"] - 86_400, "end_ts": facts["now"], "period_interval": 60}
    days = {"start_ts": facts["now"] - 300 * 86_400, "end_ts": facts["now"], "period_interval": 1440}
    ticker, event, series, old = (facts[name] for name in ("ticker", "event", "series", "archived"))

    async def open_markets() -> str:
        summary = await read_pages(
            market.get_markets, "markets", "ticker", limit=1000, status="open", mve_filter="exclude"
        )
        assert summary.split()[0] == str(facts["open"]), f"{summary}, but {facts['open']} are open"
        return summary

    return {
        "get_exchange_status": lambda: await_if_needed(exchange.get_exchange_status()),
        "get_exchange_schedule": lambda: await_if_needed(exchange.get_exchange_schedule()),
        "get_user_data_timestamp": lambda: await_if_needed(exchange.get_user_data_timestamp()),
        "get_series_fee_changes": lambda: await_if_needed(exchange.get_series_fee_changes(show_historical=True)),
        "get_series_list": lambda: await_if_needed(market.get_series_list()),
        "get_series": lambda: await_if_needed(market.get_series(series)),
        "get_events (all, nested)": lambda: read_pages(
            events.get_events, "events", "event_ticker", limit=200, with_nested_markets=True, with_milestones=True
        ),
        "get_event": lambda: await_if_needed(events.get_event(event)),
        "get_event (nested)": lambda: await_if_needed(events.get_event(event, with_nested_markets=True)),
        "get_event_metadata": lambda: await_if_needed(events.get_event_metadata(event)),
        "get_event_fee_changes": lambda: await_if_needed(events.get_event_fee_changes()),
        "get_multivariate_events": lambda: read_pages(
            events.get_multivariate_events, "events", "event_ticker", limit=100, with_nested_markets=True
        ),
        "get_market_candlesticks_by_event": lambda: await_if_needed(
            events.get_market_candlesticks_by_event(ticker=event, series_ticker=series, **hours)
        ),
        "get_markets (open)": open_markets,
        "get_markets (settled)": lambda: read_pages(
            market.get_markets, "markets", "ticker", limit=300, status="settled"
        ),
        "get_markets (combos)": lambda: read_pages(
            market.get_markets, "markets", "ticker", limit=100, mve_filter="only"
        ),
        "get_market": lambda: await_if_needed(market.get_market(ticker)),
        "get_market (combo)": lambda: await_if_needed(market.get_market(facts["combo"])),
        "get_market_orderbook": lambda: await_if_needed(market.get_market_orderbook(ticker, depth=5)),
        "get_market_orderbooks": lambda: await_if_needed(market.get_market_orderbooks([ticker, facts["combo"]])),
        "get_market_candlesticks": lambda: await_if_needed(
            market.get_market_candlesticks(series, ticker, include_latest_before_start=True, **hours)
        ),
        "batch_get_market_candlesticks": lambda: await_if_needed(
            market.batch_get_market_candlesticks(market_tickers=ticker, **hours)
        ),
        "get_trades": lambda: read_pages(market.get_trades, "trades", "trade_id", limit=1000),
        "get_trades (of one)": lambda: await_if_needed(market.get_trades(ticker=ticker)),
        "get_historical_cutoff": lambda: await_if_needed(past.get_historical_cutoff()),
        "get_historical_markets": lambda: read_pages(past.get_historical_markets, "markets", "ticker", limit=50),
        "get_historical_market": lambda: await_if_needed(past.get_historical_market(old)),
        "get_market_candlesticks_historical": lambda: await_if_needed(
            past.get_market_candlesticks_historical(old, **days)
        ),
        "get_trades_historical": lambda: read_pages(past.get_trades_historical, "trades", "trade_id", limit=200),
        "get_fills_historical": lambda: await_if_needed(past.get_fills_historical()),
        "get_historical_orders": lambda: await_if_needed(past.get_historical_orders()),
        "get_historical_positions": lambda: await_if_needed(past.get_historical_positions()),
        "get_milestones": lambda: read_pages(milestone.get_milestones, "milestones", "id", limit=50),
        "get_milestone": lambda: await_if_needed(milestone.get_milestone(facts["milestone"])),
        "get_live_data_by_milestone": lambda: await_if_needed(live.get_live_data_by_milestone(facts["milestone"])),
        "get_live_data": lambda: await_if_needed(live.get_live_data("football_game", facts["milestone"])),
        "get_live_datas": lambda: await_if_needed(live.get_live_datas([facts["milestone"]])),
        "get_structured_targets": lambda: read_pages(
            target.get_structured_targets, "structured_targets", "id", page_size=500
        ),
        "get_structured_target": lambda: await_if_needed(target.get_structured_target(facts["target"])),
        "get_multivariate_event_collections": lambda: await_if_needed(many.get_multivariate_event_collections()),
        "get_multivariate_event_collection": lambda: await_if_needed(
            many.get_multivariate_event_collection(facts["collection"])
        ),
        "get_tags_for_series_categories": lambda: await_if_needed(search.get_tags_for_series_categories()),
        "get_filters_for_sports": lambda: await_if_needed(search.get_filters_for_sports()),
        "get_incentive_programs": lambda: await_if_needed(sdk.IncentiveProgramsApi(client).get_incentive_programs()),
        "get_account_api_limits": lambda: await_if_needed(account.get_account_api_limits()),
        "get_account_endpoint_costs": lambda: await_if_needed(account.get_account_endpoint_costs()),
        "get_account_api_usage_level_volume_progress": lambda: await_if_needed(
            account.get_account_api_usage_level_volume_progress()
        ),
        "get_api_keys": lambda: await_if_needed(sdk.ApiKeysApi(client).get_api_keys()),
        "get_balance": lambda: await_if_needed(portfolio.get_balance()),
        "get_positions": lambda: await_if_needed(portfolio.get_positions()),
        "get_fills": lambda: await_if_needed(portfolio.get_fills()),
        "get_settlements": lambda: await_if_needed(portfolio.get_settlements()),
        "get_deposits": lambda: await_if_needed(portfolio.get_deposits()),
        "get_withdrawals": lambda: await_if_needed(portfolio.get_withdrawals()),
        "get_subaccount_balances": lambda: await_if_needed(portfolio.get_subaccount_balances()),
        "get_subaccount_transfers": lambda: await_if_needed(portfolio.get_subaccount_transfers()),
        "get_subaccount_netting": lambda: await_if_needed(portfolio.get_subaccount_netting()),
        "get_portfolio_resting_order_total_value": lambda: await_if_needed(
            portfolio.get_portfolio_resting_order_total_value()
        ),
        "get_intra_exchange_instance_transfers": lambda: await_if_needed(
            portfolio.get_intra_exchange_instance_transfers()
        ),
        "get_orders": lambda: await_if_needed(orders.get_orders()),
        "get_order_queue_positions": lambda: await_if_needed(orders.get_order_queue_positions()),
        "get_order_groups": lambda: await_if_needed(sdk.OrderGroupsApi(client).get_order_groups()),
    }


async def main(module: str, url: str, key_id: str, key_file: str) -> None:
    sdk = importlib.import_module(module)
    configuration = sdk.Configuration(host=url)
    configuration.api_key_id = key_id
    with open(key_file, encoding="utf-8") as file:  # noqa: ASYNC230, PTH123  (read once, before anything runs)
        configuration.private_key_pem = file.read()
    client = sdk.KalshiClient(configuration)
    for name, call in calls(sdk, client, json.load(sys.stdin)).items():
        line = {"call": name, "ok": True, "outcome": ""}
        try:
            result = await call()
            line["outcome"] = result if isinstance(result, str) else type(result).__name__
        except Exception as error:  # noqa: BLE001  (any exception of an SDK is the result to report)
            line |= {"ok": False, "outcome": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps(line), flush=True)
    close = getattr(client, "close", None)
    if close is not None:
        await await_if_needed(close())


asyncio.run(main(*sys.argv[1:]))
