import json

import pytest

from fairline.kalshi import Kalshi, Transport
from fairline.kalshi.client import batches, checked_ticker
from fairline.kalshi.crawl import MarketCrawl, Query, all_events
from fairline.kalshi.errors import BadRequestError, CursorLoopError, ServerError
from fairline.kalshi.transport import Response, Retry
from tests.unit.test_wire import MARKET


def body(tickers, cursor="", **more):
    return json.dumps({"markets": [MARKET | {"ticker": t} | more for t in tickers], "cursor": cursor}).encode()


def client(bucket, *bodies):
    """A client whose pages are given; None stands for a server error."""
    queue, asked = list(bodies), []

    async def send(request):
        asked.append(request.url)
        content = queue.pop(0)
        return Response(500, {}, b"") if content is None else Response(200, {}, content)

    kalshi = Kalshi(Transport("http://h/trade-api/v2", send=send, bucket=bucket, retry=Retry(tries=1)))
    return kalshi, asked


async def crawl(kalshi, query=Query()):
    made = MarketCrawl(kalshi, query)
    tickers = [market.ticker async for rows in made.pages() for market in rows]
    return tickers, made.account


async def test_every_page_is_walked_with_the_same_filters(unhurried):
    kalshi, asked = client(unhurried, body(["A", "B"], "c1"), body(["C"], "c2"), body(["D"]))
    tickers, account = await crawl(kalshi)
    assert tickers == ["A", "B", "C", "D"]
    assert account.complete
    assert (account.pages, account.rows) == (3, 4)
    assert all("limit=1000" in url and "mve_filter=exclude" in url and "status=open" in url for url in asked)
    assert "cursor=" not in asked[0]
    assert "cursor=c1" in asked[1]


async def test_a_repeated_cursor_ends_the_walk_as_incomplete(unhurried):
    kalshi, asked = client(unhurried, body(["A"], "c1"), body(["B"], "c2"), body(["C"], "c1"))
    tickers, account = await crawl(kalshi)
    assert tickers == ["A", "B", "C"]
    assert not account.complete
    assert "repeated a cursor" in account.incomplete_reasons[0]
    assert len(asked) == 3


async def test_a_failure_after_the_first_page_keeps_the_part_and_says_so(unhurried):
    kalshi, _ = client(unhurried, body(["A"], "c1"), None)
    tickers, account = await crawl(kalshi)
    assert tickers == ["A"]
    assert account.incomplete_reasons == ["the listing ended after page 1: /markets answered 500"]


async def test_a_failure_before_the_first_page_raises(unhurried):
    kalshi, _ = client(unhurried, None)
    with pytest.raises(ServerError):
        await crawl(kalshi)


async def test_duplicates_are_dropped_and_counted(unhurried):
    kalshi, _ = client(unhurried, body(["A", "B"], "c1"), body(["B", "C"]))
    tickers, account = await crawl(kalshi)
    assert tickers == ["A", "B", "C"]
    assert account.duplicates == 1


async def test_combos_that_slip_through_the_filter_are_dropped(unhurried):
    kalshi, _ = client(unhurried, body(["A"], mve_collection_ticker="KXMVE"))
    assert (await crawl(kalshi))[0] == []
    kalshi, asked = client(unhurried, body(["A"], mve_collection_ticker="KXMVE"))
    assert (await crawl(kalshi, Query(combos=True)))[0] == ["A"]
    assert "mve_filter" not in asked[0]


async def test_each_named_series_or_event_is_a_walk_of_its_own(unhurried):
    kalshi, asked = client(unhurried, body(["A"]), body(["B"]))
    assert (await crawl(kalshi, Query(series=("S1", "S2"))))[0] == ["A", "B"]
    assert ["series_ticker=S1" in asked[0], "series_ticker=S2" in asked[1]] == [True, True]


async def test_an_event_walk_that_loops_raises(unhurried):
    page = json.dumps({"events": [], "cursor": "c"}).encode()
    kalshi, _ = client(unhurried, page, page, page)
    with pytest.raises(CursorLoopError):
        await all_events(kalshi, status="open")


def test_batches_respect_number_and_length():
    assert list(batches("abcde", 2)) == [["a", "b"], ["c", "d"], ["e"]]
    assert [len(b) for b in batches(["x" * 100] * 10, 300, characters=350)] == [3, 3, 3, 1]
    assert list(batches([], 5)) == []


@pytest.mark.parametrize("ticker", ["A,B", "", "A B", "../x", "A?x", "A&b"])
def test_a_ticker_that_would_widen_the_question_is_refused(ticker):
    with pytest.raises(BadRequestError, match="is not a ticker"):
        checked_ticker(ticker)
