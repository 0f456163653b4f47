"""The bounded queue between the feed and its reader."""

from fairline.kalshi.feed_messages import Lost, decode
from fairline.kalshi.feed_queue import FeedQueue


def ticker(name, size):
    body = f'"market_ticker":"{name}","yes_bid_dollars":"0.1000","yes_ask_dollars":"0.2000"'
    return decode(
        f'{{"type":"ticker","sid":1,"msg":{{{body},"yes_bid_size_fp":"{size}.00","yes_ask_size_fp":"1.00","ts_ms":1}}}}'.encode()
    )


def delta(name):
    body = f'"market_ticker":"{name}","price_dollars":"0.1000","delta_fp":"1.00","side":"yes"'
    return decode(f'{{"type":"orderbook_delta","sid":2,"seq":1,"msg":{{{body}}}}}'.encode())


def test_messages_come_out_in_order_once():
    queue = FeedQueue()
    messages = [ticker("A", 1), delta("B"), ticker("A", 2)]
    for message in messages:
        queue.put(message)
    assert queue.take() == (messages, [])
    assert queue.take() == ([], [])


def test_when_it_is_full_the_newest_ticker_of_each_market_stays():
    queue = FeedQueue(limit=100)
    for number in range(101):
        queue.put(ticker("AB"[number % 2], number))
    messages, dropped = queue.take()
    assert [(m.msg.market_ticker, m.msg.yes_bid_size_fp) for m in messages] == [("B", "99.00"), ("A", "100.00")]
    assert dropped == []


def test_deltas_are_never_dropped_alone_but_their_books_are_named():
    queue = FeedQueue(limit=100)
    for number in range(101):
        queue.put(delta("AB"[number % 2]))
    queue.put(Lost("x"))
    messages, dropped = queue.take()
    assert messages == [Lost("x")]
    assert sorted(dropped) == ["A", "B"]


def test_its_length_stays_bounded():
    queue = FeedQueue(limit=100)
    for number in range(10_000):
        queue.put(delta("A") if number % 3 else ticker(str(number % 60), 1))
        assert len(queue) <= 100
