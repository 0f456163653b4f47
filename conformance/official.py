"""Every market-data and account read of the official SDK, sync or async: `official.py MODULE URL KEY_ID KEY_FILE`.

Facts about what is served come as JSON on standard input; a line of JSON a call goes out.
"""

import asyncio
import importlib
import inspect
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

Call = Callable[..., Any]


async def settled(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


async def paged(call: Call, field: str, name: str, **query: Any) -> str:
    """All pages; what is repeated is an error. Says how many there were."""
    seen, pages, cursor = [], 0, None
    while True:
        page = await settled(call(cursor=cursor, **query))
        rows = getattr(page, field)
        seen += [getattr(row, name) for row in rows]
        pages += 1
        cursor = getattr(page, "cursor", None)
        if not cursor:
            break
    assert len(seen) == len(set(seen)), "a row came twice"
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
        told = await paged(market.get_markets, "markets", "ticker", limit=1000, status="open", mve_filter="exclude")
        assert told.split()[0] == str(facts["open"]), f"{told}, but {facts['open']} are open"
        return told

    return {
        "get_exchange_status": lambda: settled(exchange.get_exchange_status()),
        "get_exchange_schedule": lambda: settled(exchange.get_exchange_schedule()),
        "get_user_data_timestamp": lambda: settled(exchange.get_user_data_timestamp()),
        "get_series_fee_changes": lambda: settled(exchange.get_series_fee_changes(show_historical=True)),
        "get_series_list": lambda: settled(market.get_series_list()),
        "get_series": lambda: settled(market.get_series(series)),
        "get_events (all, nested)": lambda: paged(
            events.get_events, "events", "event_ticker", limit=200, with_nested_markets=True, with_milestones=True
        ),
        "get_event": lambda: settled(events.get_event(event)),
        "get_event (nested)": lambda: settled(events.get_event(event, with_nested_markets=True)),
        "get_event_metadata": lambda: settled(events.get_event_metadata(event)),
        "get_event_fee_changes": lambda: settled(events.get_event_fee_changes()),
        "get_multivariate_events": lambda: paged(
            events.get_multivariate_events, "events", "event_ticker", limit=100, with_nested_markets=True
        ),
        "get_market_candlesticks_by_event": lambda: settled(
            events.get_market_candlesticks_by_event(ticker=event, series_ticker=series, **hours)
        ),
        "get_markets (open)": open_markets,
        "get_markets (settled)": lambda: paged(market.get_markets, "markets", "ticker", limit=300, status="settled"),
        "get_markets (combos)": lambda: paged(market.get_markets, "markets", "ticker", limit=100, mve_filter="only"),
        "get_market": lambda: settled(market.get_market(ticker)),
        "get_market (combo)": lambda: settled(market.get_market(facts["combo"])),
        "get_market_orderbook": lambda: settled(market.get_market_orderbook(ticker, depth=5)),
        "get_market_orderbooks": lambda: settled(market.get_market_orderbooks([ticker, facts["combo"]])),
        "get_market_candlesticks": lambda: settled(
            market.get_market_candlesticks(series, ticker, include_latest_before_start=True, **hours)
        ),
        "batch_get_market_candlesticks": lambda: settled(
            market.batch_get_market_candlesticks(market_tickers=ticker, **hours)
        ),
        "get_trades": lambda: paged(market.get_trades, "trades", "trade_id", limit=1000),
        "get_trades (of one)": lambda: settled(market.get_trades(ticker=ticker)),
        "get_historical_cutoff": lambda: settled(past.get_historical_cutoff()),
        "get_historical_markets": lambda: paged(past.get_historical_markets, "markets", "ticker", limit=50),
        "get_historical_market": lambda: settled(past.get_historical_market(old)),
        "get_market_candlesticks_historical": lambda: settled(past.get_market_candlesticks_historical(old, **days)),
        "get_trades_historical": lambda: paged(past.get_trades_historical, "trades", "trade_id", limit=200),
        "get_fills_historical": lambda: settled(past.get_fills_historical()),
        "get_historical_orders": lambda: settled(past.get_historical_orders()),
        "get_historical_positions": lambda: settled(past.get_historical_positions()),
        "get_milestones": lambda: paged(milestone.get_milestones, "milestones", "id", limit=50),
        "get_milestone": lambda: settled(milestone.get_milestone(facts["milestone"])),
        "get_live_data_by_milestone": lambda: settled(live.get_live_data_by_milestone(facts["milestone"])),
        "get_live_data": lambda: settled(live.get_live_data("football_game", facts["milestone"])),
        "get_live_datas": lambda: settled(live.get_live_datas([facts["milestone"]])),
        "get_structured_targets": lambda: paged(
            target.get_structured_targets, "structured_targets", "id", page_size=500
        ),
        "get_structured_target": lambda: settled(target.get_structured_target(facts["target"])),
        "get_multivariate_event_collections": lambda: settled(many.get_multivariate_event_collections()),
        "get_multivariate_event_collection": lambda: settled(
            many.get_multivariate_event_collection(facts["collection"])
        ),
        "get_tags_for_series_categories": lambda: settled(search.get_tags_for_series_categories()),
        "get_filters_for_sports": lambda: settled(search.get_filters_for_sports()),
        "get_incentive_programs": lambda: settled(sdk.IncentiveProgramsApi(client).get_incentive_programs()),
        "get_account_api_limits": lambda: settled(account.get_account_api_limits()),
        "get_account_endpoint_costs": lambda: settled(account.get_account_endpoint_costs()),
        "get_account_api_usage_level_volume_progress": lambda: settled(
            account.get_account_api_usage_level_volume_progress()
        ),
        "get_api_keys": lambda: settled(sdk.ApiKeysApi(client).get_api_keys()),
        "get_balance": lambda: settled(portfolio.get_balance()),
        "get_positions": lambda: settled(portfolio.get_positions()),
        "get_fills": lambda: settled(portfolio.get_fills()),
        "get_settlements": lambda: settled(portfolio.get_settlements()),
        "get_deposits": lambda: settled(portfolio.get_deposits()),
        "get_withdrawals": lambda: settled(portfolio.get_withdrawals()),
        "get_subaccount_balances": lambda: settled(portfolio.get_subaccount_balances()),
        "get_subaccount_transfers": lambda: settled(portfolio.get_subaccount_transfers()),
        "get_subaccount_netting": lambda: settled(portfolio.get_subaccount_netting()),
        "get_portfolio_resting_order_total_value": lambda: settled(portfolio.get_portfolio_resting_order_total_value()),
        "get_intra_exchange_instance_transfers": lambda: settled(portfolio.get_intra_exchange_instance_transfers()),
        "get_orders": lambda: settled(orders.get_orders()),
        "get_order_queue_positions": lambda: settled(orders.get_order_queue_positions()),
        "get_order_groups": lambda: settled(sdk.OrderGroupsApi(client).get_order_groups()),
    }


async def main(module: str, url: str, key_id: str, key_file: str) -> None:
    sdk = importlib.import_module(module)
    configuration = sdk.Configuration(host=url)
    configuration.api_key_id = key_id
    with open(key_file, encoding="utf-8") as file:  # noqa: ASYNC230, PTH123  (once, before anything runs)
        configuration.private_key_pem = file.read()
    client = sdk.KalshiClient(configuration)
    for name, call in calls(sdk, client, json.load(sys.stdin)).items():
        line = {"call": name, "ok": True, "said": ""}
        try:
            made = await call()
            line["said"] = made if isinstance(made, str) else type(made).__name__
        except Exception as error:  # noqa: BLE001  (whatever an SDK raises is what is to be told)
            line |= {"ok": False, "said": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps(line), flush=True)
    close = getattr(client, "close", None)
    if close is not None:
        await settled(close())


asyncio.run(main(*sys.argv[1:]))
