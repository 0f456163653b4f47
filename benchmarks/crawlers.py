"""Run one reader of the whole listing in its own process: `python crawlers.py NAME URL [KEY_ID KEY_FILE]`.

Print JSON: wall and CPU seconds from the first request to the last row, the peak memory of the process, and rows.
Readers with other people's clients need those installed; `make clients` does this.
"""

import asyncio
import json
import resource
import sys
import time
from pathlib import Path


async def official(url: str, *_: str) -> int:
    import kalshi_python_async as sdk

    rows, cursor = [], None
    async with sdk.ApiClient(sdk.Configuration(host=url)) as client:
        api = sdk.MarketApi(client)
        while True:
            page = await api.get_markets(limit=1000, cursor=cursor, status="open", mve_filter="exclude")
            rows += page.markets
            cursor = page.cursor
            if not cursor:
                return len(rows)


async def pykalshi(url: str = "", key_id: str = "", key_file: str = "") -> int:
    import pykalshi

    if not url:
        return 0
    async with pykalshi.AsyncKalshiClient(api_key_id=key_id, private_key_path=key_file, api_base=url) as client:
        markets = await client.get_markets(
            limit=1000, status=pykalshi.MarketStatus.OPEN, mve_filter="exclude", fetch_all=True
        )
    return len(markets)


def requests_json(url: str, *_: str) -> int:
    import requests

    rows, cursor = [], None
    with requests.Session() as session:
        while True:
            params = {"limit": 1000, "status": "open", "mve_filter": "exclude", "cursor": cursor}
            page = session.get(f"{url}/markets", params=params).json()
            rows += page["markets"]
            cursor = page["cursor"]
            if not cursor:
                return len(rows)


async def aiohttp_msgspec(url: str, *_: str) -> int:
    """Decode the fields that Fairline reads and keep a list of structs."""
    import aiohttp
    import msgspec

    from fairline.kalshi.wire import Market

    decoder = msgspec.json.Decoder(msgspec.defstruct("Page", [("markets", list[Market]), ("cursor", str)]))
    rows, params = [], {"limit": "1000", "status": "open", "mve_filter": "exclude"}
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"{url}/markets", params=params) as answer:
                page = decoder.decode(await answer.read())
            rows += page.markets
            if not page.cursor:
                return len(rows)
            params["cursor"] = page.cursor


async def fairline(url: str, key_id: str = "", key_file: str = "", folder: str = "", combos: str = "") -> int:
    """Read into the frame: with a key at its tier, otherwise without limit; with a folder by the last profile."""
    from fairline.kalshi import TIERS, ApiKeyAuth, Kalshi, Rate, TokenBucket, Transport, read_private_key
    from fairline.kalshi.cache import ExchangeCache
    from fairline.kalshi.crawl import MarketCrawl
    from fairline.kalshi.routes import Query
    from fairline.market.frame import wire_frame
    from fairline.market.listing import read_frame

    auth = ApiKeyAuth(key_id, read_private_key(Path(key_file))) if key_id else None
    bucket = TokenBucket(TIERS["basic"].with_reserve() if key_id else Rate(1e9, 1e9))
    memory = ExchangeCache(Path(folder), url) if folder else None
    async with Kalshi(Transport(url, auth=auth, bucket=bucket)) as kalshi:
        crawl = MarketCrawl(kalshi, Query(combos=bool(combos)), wire_frame, cache=memory)
        frame = await read_frame(crawl)
        assert crawl.report.complete, crawl.report.incomplete_reasons
        EXTRA["requests"] = kalshi.transport.traffic.requests
    return frame.height


READERS = {
    "official": official,
    "pykalshi": pykalshi,
    "requests": requests_json,
    "aiohttp": aiohttp_msgspec,
    "fairline": fairline,
}
EXTRA: dict[str, object] = {}


def main() -> None:
    name, *arguments = sys.argv[1:]
    reader = READERS[name]
    # A first, tiny run does the imports, which are not measured here; whole processes run without one.
    warm = arguments.pop()
    measured = []
    warm_ups = [[] if name == "pykalshi" else [warm]] if warm else []
    for given in [*warm_ups, arguments]:
        wall, processor = time.perf_counter(), time.process_time()
        rows = reader(*given)
        if asyncio.iscoroutine(rows):
            rows = asyncio.run(rows)
        measured = [time.perf_counter() - wall, time.process_time() - processor, rows]
    print(json.dumps({"seconds": measured[0], "cpu": measured[1], "rows": measured[2], "peak_mb": peak_mb()} | EXTRA))


def peak_mb() -> float:
    """Return the peak memory of this process; `getrusage` would include that of its parent."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)


main()
