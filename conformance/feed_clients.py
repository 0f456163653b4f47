"""pykalshi's feed against the simulated exchange: `feed_clients.py pykalshi URL KEY_ID KEY_FILE`, as official.py.

Facts on standard input name the feed's address, the markets to follow, and how long. The books that the client's own
manager rebuilds are written to standard output for comparison with the exchange's.
"""

import asyncio
import json
import sys
from collections import Counter
from typing import Any

import pykalshi
from pykalshi.orderbook import OrderbookManager

CHANNELS = ("ticker", "trade", "market_lifecycle_v2")


async def follow(url: str, key_id: str, key_file: str, facts: dict[str, Any]) -> list[dict[str, object]]:
    books: dict[str, OrderbookManager] = {}
    counts: Counter[str] = Counter()
    async with pykalshi.AsyncKalshiClient(api_key_id=key_id, private_key_path=key_file, api_base=url) as client:
        feed = client.feed()
        feed._ws_url = facts["websocket"]  # noqa: SLF001  it knows the real exchange's addresses only

        @feed.on("orderbook_delta")
        def handle_book(message: Any) -> None:
            book = books.setdefault(message.market_ticker, OrderbookManager(message.market_ticker))
            if hasattr(message, "delta_fp"):
                book.apply_delta(message.side, message.price_dollars, message.delta_fp)
                counts["delta"] += 1
            else:
                book.apply_snapshot(message.yes_dollars, message.no_dollars)
                counts["snapshot"] += 1

        for channel in CHANNELS:
            feed.on(channel, lambda _, name=channel: counts.update([name]))
            feed.subscribe(channel)
        # Two commands for one channel: the second is merged into the first one's subscription.
        half = len(facts["tickers"]) // 2
        feed.subscribe("orderbook_delta", market_tickers=facts["tickers"][:half])
        feed.subscribe("orderbook_delta", market_tickers=facts["tickers"][half:])

        async def read() -> None:
            async for _ in feed:
                pass

        task = asyncio.create_task(read())
        await asyncio.sleep(facts["seconds"])
        print(json.dumps({"stop": True}), flush=True)
        await asyncio.sleep(1.5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    rebuilt = {ticker: {"yes": book.yes, "no": book.no} for ticker, book in books.items()}
    return [{"counts": counts, "reconnects": feed.reconnect_count, "books": rebuilt}]


def main(_: str, url: str, key_id: str, key_file: str) -> None:
    for row in asyncio.run(follow(url, key_id, key_file, json.loads(sys.stdin.readline()))):
        print(json.dumps(row), flush=True)


main(*sys.argv[1:])
