"""Calls every read of pykalshi: `third_party.py pykalshi URL KEY_ID KEY_FILE`, with the protocol of official.py."""

import json
import sys
from collections.abc import Callable
from typing import Any

import pykalshi


def calls(client: Any, facts: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    ticker, event, series, old = (facts[name] for name in ("ticker", "event", "series", "archived"))
    hours = (facts["now"] - 86_400, facts["now"])
    days = (facts["now"] - 300 * 86_400, facts["now"])
    portfolio = client.portfolio
    past = client.history
    open_now = pykalshi.MarketStatus.OPEN

    def all_open() -> str:
        markets = client.get_markets(status=open_now, mve_filter="exclude", limit=1000, fetch_all=True)
        tickers = [market.ticker for market in markets]
        assert len(tickers) == len(set(tickers)) == facts["open"], f"{len(tickers)} of {facts['open']}"
        return f"{len(tickers)} in all"

    return {
        "exchange.get_status": client.exchange.get_status,
        "exchange.get_schedule": client.exchange.get_schedule,
        "exchange.get_user_data_timestamp": client.exchange.get_user_data_timestamp,
        "exchange.is_trading": client.exchange.is_trading,
        "get_all_series": client.get_all_series,
        "get_series": lambda: client.get_series(series),
        "Series.get_events": lambda: client.get_series(series).get_events(),
        "Series.get_markets": lambda: client.get_series(series).get_markets(),
        "get_events (all)": lambda: f"{len(client.get_events(limit=200, fetch_all=True))} in all",
        "get_event (nested)": lambda: client.get_event(event, with_nested_markets=True),
        "Event.get_markets": lambda: client.get_event(event).get_markets(),
        "get_markets (open)": all_open,
        "get_markets (tickers)": lambda: client.get_markets(tickers=[ticker, facts["combo"]]),
        "get_market": lambda: client.get_market(ticker),
        "get_market (combo)": lambda: client.get_market(facts["combo"]),
        "Market.get_orderbook": lambda: client.get_market(ticker).get_orderbook(depth=5),
        "Market.get_candlesticks": lambda: client.get_market(ticker).get_candlesticks(*hours),
        "Market.get_trades": lambda: client.get_market(ticker).get_trades(),
        "Market.get_event": lambda: client.get_market(ticker).get_event(),
        "get_candlesticks_batch": lambda: client.get_candlesticks_batch([ticker], *hours),
        "get_trades (all)": lambda: f"{len(client.get_trades(limit=1000, fetch_all=True))} in all",
        "get_multivariate_events": lambda: f"{len(client.get_multivariate_events(fetch_all=True))} in all",
        "get_mve_collections": client.get_mve_collections,
        "get_mve_collection": lambda: client.get_mve_collection(facts["collection"]),
        "history.get_cutoff": past.get_cutoff,
        "history.get_markets": lambda: f"{len(past.get_markets(fetch_all=True))} in all",
        "history.get_market": lambda: past.get_market(old),
        "history.get_candlesticks": lambda: past.get_candlesticks(
            old, start_ts=days[0], end_ts=days[1], period=pykalshi.CandlestickPeriod.ONE_DAY
        ),
        "history.get_trades": lambda: f"{len(past.get_trades(fetch_all=True))} in all",
        "history.get_fills": past.get_fills,
        "history.get_orders": past.get_orders,
        "api_keys.list": client.api_keys.list,
        "api_keys.get_limits": client.api_keys.get_limits,
        "portfolio.get_balance": portfolio.get_balance,
        "portfolio.get_positions": portfolio.get_positions,
        "portfolio.get_fills": portfolio.get_fills,
        "portfolio.get_orders": portfolio.get_orders,
        "portfolio.get_order_groups": portfolio.get_order_groups,
        "portfolio.get_queue_positions": portfolio.get_queue_positions,
        "portfolio.get_resting_order_value": portfolio.get_resting_order_value,
        "portfolio.get_settlements": portfolio.get_settlements,
        "portfolio.get_subaccount_balances": portfolio.get_subaccount_balances,
        "portfolio.get_subaccount_netting": portfolio.get_subaccount_netting,
        "portfolio.get_subaccount_transfers": portfolio.get_subaccount_transfers,
    }


def main(_: str, url: str, key_id: str, key_file: str) -> None:
    with pykalshi.KalshiClient(api_key_id=key_id, private_key_path=key_file, api_base=url, max_retries=0) as client:
        for name, call in calls(client, json.load(sys.stdin)).items():
            line = {"call": name, "ok": True, "outcome": ""}
            try:
                result = call()
                line["outcome"] = result if isinstance(result, str) else type(result).__name__
            except Exception as error:  # noqa: BLE001  (any exception of a client is the result to report)
                line |= {"ok": False, "outcome": f"{type(error).__name__}: {error}"[:300]}
            print(json.dumps(line), flush=True)


main(*sys.argv[1:])
