"""The judgement of a recording."""

from fairline.kalshi.feed_messages import Subscribed, SubscribedBody, UnknownMessage
from fairline.market.feed_check import FeedCheck
from tests.unit.market.test_live import delta, snapshot, ticker


def check(*messages):
    checking = FeedCheck()
    for message in messages:
        checking.add(message)
    return checking.finish()


def test_a_ticker_is_compared_with_the_book_at_its_own_time():
    late = ticker(bid_size="15.00", ts_ms=2_500)
    report = check(snapshot(), delta(change="5.00", ts_ms=2_000), _seq(delta(change="1.00", ts_ms=3_000), 3), late)
    assert (report.compared, report.equal) == (1, 1)
    assert report.agrees


def test_a_ticker_before_its_changes_waits_for_them():
    early = ticker(bid_size="15.00", ts_ms=2_000)
    report = check(snapshot(), early, delta(change="5.00", ts_ms=2_000), _seq(delta(change="1.00", ts_ms=3_000), 3))
    assert (report.compared, report.equal) == (1, 1)


def test_the_ticker_of_a_close_waits_for_the_empty_snapshot():
    closing = ticker(bid="0.0000", bid_size="0.00", ask="1.0000", ask_size="0.00", ts_ms=5_000)
    report = check(snapshot(), closing, _seq(snapshot(yes=(), no=()), 2))
    assert (report.compared, report.equal) == (1, 1)
    assert check(snapshot(), closing).compared == 0


def test_a_difference_is_named():
    report = check(snapshot(), ticker(bid_size="11.00", ts_ms=1_000))
    assert (report.compared, report.equal, report.agrees) == (1, 0, False)
    assert report.examples[0].startswith("A at 1000: ticker")


def test_after_a_gap_nothing_is_compared_until_a_snapshot():
    report = check(snapshot(), _seq(delta(), 9), ticker(ts_ms=9_000))
    assert (report.gaps, report.compared) == (1, 0)


def test_a_subscription_that_begins_again_is_a_new_connection():
    again = Subscribed(msg=SubscribedBody(channel="orderbook_delta", sid=2))
    report = check(again, snapshot(), again, snapshot(), ticker())
    assert (report.connections, report.gaps, report.equal) == (2, 0, 1)


def test_unknown_messages_are_counted():
    assert check(UnknownMessage(kind="x")).unknown == 1


def _seq(message, seq):
    message.seq = seq
    return message
