import gzip
import json
from urllib.parse import parse_qs, urlsplit

import polars as pl
import pytest

from fairline.kalshi import Kalshi, Transport
from fairline.kalshi.client import check_ticker
from fairline.kalshi.crawl import MarketCrawl
from fairline.kalshi.cursor import paginate
from fairline.kalshi.decoding import Page
from fairline.kalshi.errors import BadRequestError, CursorLoopError, ServerError
from fairline.kalshi.http import Response
from fairline.kalshi.routes import Query, batches
from fairline.kalshi.transport import Retry
from fairline.kalshi.walk import Walk
from fairline.kalshi.windows import CREATED, Window
from fairline.market.frame import wire_frame
from tests.unit.kalshi.test_wire import MARKET

PAIRS = Query(page_size=2)


def body(tickers, cursor="", **more):
    return json.dumps({"markets": [MARKET | {"ticker": t} | more for t in tickers], "cursor": cursor}).encode()


EMPTY = body([])


def client(bucket, *bodies):
    """Return a client with scripted pages (None is a server error, later ones are empty) and the requested URLs."""
    queue, asked = list(bodies), []

    async def send(request):
        asked.append(request.url)
        content = queue.pop(0) if queue else EMPTY
        return Response(500, {}, b"") if content is None else Response(200, {}, content)

    kalshi = Kalshi(Transport("http://h/trade-api/v2", send=send, bucket=bucket, retry=Retry(tries=1)))
    return kalshi, asked


async def crawl(kalshi, query=PAIRS):
    market_crawl = MarketCrawl(kalshi, query, list)
    tickers = [market.ticker async for rows in market_crawl.pages() for market in rows]
    return tickers, market_crawl.report


async def test_every_page_is_walked_with_the_same_filters(unhurried):
    kalshi, asked = client(unhurried, body(["A", "B"], "c1"), body(["C", "D"], "c2"), body(["E"]))
    tickers, report = await crawl(kalshi)
    assert tickers == ["A", "B", "C", "D", "E"]
    assert report.complete
    assert report.rows == 5
    assert all("limit=2" in url and "mve_filter=exclude" in url and "status=open" in url for url in asked)
    assert "cursor=" not in asked[0]
    assert "cursor=c1" in asked[1]
    assert "min_created_ts=" in asked[-1], "the closing pass"


async def test_a_repeated_cursor_ends_the_walk_as_incomplete(unhurried):
    query = Query(status="paused", page_size=2)
    kalshi, asked = client(unhurried, body(["A", "B"], "c1"), body(["C", "D"], "c2"), body(["E", "F"], "c1"))
    tickers, report = await crawl(kalshi, query)
    assert tickers == ["A", "B", "C", "D", "E", "F"]
    assert not report.complete
    assert "repeated a cursor" in report.incomplete_reasons[0]
    assert len([url for url in asked if "status=" in url]) == 3


async def test_cursors_without_end_and_without_rows_are_a_loop():
    asked = []

    async def fetch(cursor):
        asked.append(cursor)
        return Page([], [], f"c{len(asked)}")

    with pytest.raises(CursorLoopError, match="pages in a row with nothing new"):
        async for _ in paginate(fetch, 1_000):
            pass
    assert len(asked) == 5


async def test_a_failure_after_the_first_page_keeps_its_rows_and_is_reported(unhurried):
    kalshi, _ = client(unhurried, body(["A", "B"], "c1"), None, None)
    tickers, report = await crawl(kalshi)
    assert tickers == ["A", "B"]
    assert report.incomplete_reasons == ["the listing ended after page 1: /markets answered 500"]
    assert [walk.pages for walk in report.missing] == [1]


async def test_a_failed_walk_continues_from_its_cursor_once(unhurried):
    kalshi, asked = client(unhurried, body(["A", "B"], "c1"), None, body(["C"]))
    tickers, report = await crawl(kalshi)
    assert tickers == ["A", "B", "C"]
    assert report.complete
    assert "cursor=c1" in asked[1]
    assert "cursor=c1" in asked[2]


async def test_a_failure_before_the_first_page_raises(unhurried):
    kalshi, _ = client(unhurried, None)
    with pytest.raises(ServerError):
        await crawl(kalshi)


async def test_duplicates_and_conflicts_are_dropped_and_counted(unhurried):
    pages = body(["A", "B"], "c1"), body(["B", "C"], "c2"), body(["C"], created_time="2020-01-01T00:00:00Z")
    tickers, report = await crawl(client(unhurried, *pages)[0])
    assert tickers == ["A", "B", "C"]
    assert (report.duplicates, report.conflicts) == (2, 1)


async def test_a_short_page_with_a_cursor_is_requested_again(unhurried):
    kalshi, asked = client(unhurried, body(["A"], "c1"), body(["A", "B"], "c1"), body(["C"]))
    tickers, report = await crawl(kalshi)
    assert tickers == ["A", "B", "C"]
    assert asked[0] == asked[1]
    assert report.complete


async def test_a_market_in_another_status_than_requested_is_read_again(unhurried):
    changed = json.loads(body(["A", "B"]))
    changed["markets"][1]["status"] = "closed"
    answers = json.dumps(changed).encode(), EMPTY, body(["B"], status="determined")
    kalshi, asked = client(unhurried, *answers)
    market_crawl = MarketCrawl(kalshi, PAIRS, list)
    rows = {market.ticker: market.status async for page in market_crawl.pages() for market in page}
    assert rows == {"A": "active", "B": "determined"}
    assert market_crawl.report.rechecked == 1
    assert "tickers=B" in asked[2]


async def test_held_back_markets_survive_the_reuse_of_the_buffer(unhurried):
    """Packed pages are unpacked into one place, in which what is raw in a market lies."""

    def pack(tickers, cursor="", **more):
        rows = [MARKET | {"ticker": t, "strike_type": "structured", "custom_strike": {"team": target(t)}} | more
                for t in tickers]  # fmt: skip
        plain = json.dumps({"markets": rows, "cursor": cursor}, separators=(",", ":")).encode()
        return Response(200, {"Content-Encoding": "gzip"}, b"", gzip.compress(plain))

    def target(ticker):
        return f"{ticker[1:].zfill(8)}-0000-4000-8000-000000000000"

    late = [f"T{n}" for n in range(400)]
    answers = [pack(late, "c", status="inactive"), pack([f"U{n}" for n in range(450)]), pack([])]

    async def send(request):
        asked = parse_qs(urlsplit(request.url).query)
        if "tickers" in asked:
            return pack(asked["tickers"][0].split(","))
        return answers.pop(0) if len(answers) > 1 else answers[0]

    kalshi = Kalshi(Transport("http://h/trade-api/v2", send=send, bucket=unhurried))
    market_crawl = MarketCrawl(kalshi, Query(page_size=400), wire_frame)
    frames = [frame async for frame in market_crawl.pages()]
    rows = pl.concat(frames)
    assert rows.height == 850
    assert market_crawl.report.rechecked == 400
    assert rows["target"].to_list() == [target(ticker) for ticker in rows["ticker"]]


async def test_combos_that_pass_the_filter_are_dropped(unhurried):
    kalshi, _ = client(unhurried, body(["A"], mve_collection_ticker="KXMVE"))
    assert (await crawl(kalshi))[0] == []
    kalshi, asked = client(unhurried, body(["A"], mve_collection_ticker="KXMVE"))
    assert (await crawl(kalshi, Query(combos=True)))[0] == ["A"]
    assert "mve_filter" not in asked[0]


async def test_each_named_series_event_or_list_of_tickers_is_a_walk_of_its_own(unhurried):
    kalshi, asked = client(unhurried, body(["A"]), body(["B"]))
    assert (await crawl(kalshi, Query(series=("S1", "S2"))))[0] == ["A", "B"]
    assert sorted(url.split("series_ticker=")[1] for url in asked) == ["S1", "S2"]
    kalshi, asked = client(unhurried)
    await crawl(kalshi, Query(tickers=tuple(f"T{i}" for i in range(301))))
    assert [url.count("%2C") for url in asked] == [299, 0]
    assert "status=" not in asked[0], "a market named is wanted in whatever state"


def test_batches_respect_number_and_length():
    assert list(batches("abcde", 2)) == [["a", "b"], ["c", "d"], ["e"]]
    assert [len(b) for b in batches(["x" * 100] * 10, 300, characters=350)] == [3, 3, 3, 1]
    assert list(batches([], 5)) == []


@pytest.mark.parametrize("ticker", ["A,B", "", "A B", "../x", "A?x", "A&b"])
def test_a_ticker_that_would_change_the_request_is_refused(ticker):
    with pytest.raises(BadRequestError, match="is not a ticker"):
        check_ticker(ticker)


@pytest.mark.parametrize("top", [100, 101])
def test_a_walk_still_at_the_top_of_its_window_has_nothing_to_give_away(top):
    # The receiver would get the whole window, and give it away again, for ever.
    walk = Walk(0, {}, CREATED, Window(10, 100), oldest=top)
    assert not walk.divisible
    walk.oldest = 99
    assert walk.divisible
    walk.ordered = False
    assert not walk.divisible
