"""The commands of a feed, the answers it waits for, and what ends a subscription."""

import json

import pytest

from fairline.kalshi.feed_messages import AnswerError, Failed, Gap, Ok, Subscribed, SubscribedBody
from fairline.kalshi.feed_subscriptions import BOOKS, MAX_BOOKS, TICKERS, FeedSubscriptions


class Desk:
    """Subscriptions whose commands are kept, with a clock that stands still."""

    def __init__(self, *channels):
        self.sent, self.now = [], 0.0
        self.subscriptions = FeedSubscriptions(
            channels, lambda text: self.sent.append(json.loads(text)), lambda: self.now
        )

    def acknowledge(self, command, sid):
        channel = command["params"]["channels"][0]
        body = SubscribedBody(channel=channel, sid=sid)
        return list(self.subscriptions.answer(Subscribed(id=command["id"], msg=body)))

    def fail(self, code, *, number=0, sid=0):
        return list(self.subscriptions.answer(Failed(id=number, sid=sid, msg=AnswerError(code, "x"))))

    @property
    def last(self):
        return self.sent[-1]["params"]


def test_tickers_are_named_in_parts_with_their_first_state():
    desk = Desk(TICKERS)
    desk.subscriptions.follow_tickers(f"T{number}" for number in range(2_500))
    desk.subscriptions.open()
    assert len(desk.last["market_tickers"]) == 1_000
    assert desk.last["send_initial_snapshot"]
    desk.acknowledge(desk.sent[0], 7)
    assert [len(each["params"]["market_tickers"]) for each in desk.sent[1:]] == [1_000, 500]
    assert {each["params"]["sid"] for each in desk.sent[1:]} == {7}


def test_without_names_all_tickers_are_followed():
    desk = Desk(TICKERS)
    desk.subscriptions.open()
    assert desk.last == {"channels": [TICKERS]}


def test_books_are_at_most_500_and_state_which_prices_they_use():
    desk = Desk()
    desk.subscriptions.follow_books(f"T{number}" for number in range(900))
    desk.subscriptions.open()
    assert len(desk.last["market_tickers"]) == MAX_BOOKS
    assert desk.last["use_yes_price"] is False


def test_other_books_are_added_and_removed_by_difference():
    desk = Desk()
    desk.subscriptions.follow_books(["A", "B"])
    desk.subscriptions.open()
    desk.acknowledge(desk.sent[0], 3)
    desk.subscriptions.follow_books(["B", "C"])
    assert [(each["params"]["action"], each["params"]["market_tickers"]) for each in desk.sent[1:]] == [
        ("delete_markets", ["A"]),
        ("add_markets", ["C"]),
    ]


def test_a_snapshot_that_does_not_come_is_late_until_it_comes():
    desk = Desk()
    desk.subscriptions.follow_books(["A", "B"])
    desk.subscriptions.open()
    desk.acknowledge(desk.sent[0], 3)
    desk.subscriptions.book_arrived("A")
    desk.now = 1.5
    assert desk.subscriptions.late_books(1.0) == ["B"]
    desk.subscriptions.ask_books(["A", "B"])
    assert desk.last["market_tickers"] == ["A"]
    desk.subscriptions.ask_books(["B"], again=True)
    assert desk.last == {"sid": 3, "action": "get_snapshot", "market_tickers": ["B"]}


def test_an_answer_is_matched_by_its_id_in_any_order():
    desk = Desk("ticker", "trade")
    desk.subscriptions.open()
    desk.acknowledge(desk.sent[1], 1)
    desk.now = 2.0
    assert desk.subscriptions.is_unanswered(1.0)
    desk.acknowledge(desk.sent[0], 2)
    assert not desk.subscriptions.is_unanswered(1.0)
    assert desk.subscriptions.channel(1) == "trade"


def test_one_question_at_a_time_is_asked():
    desk = Desk()
    desk.subscriptions.ask_if_alive()
    desk.subscriptions.ask_if_alive()
    assert [each["cmd"] for each in desk.sent] == ["list_subscriptions"]
    list(desk.subscriptions.answer(Ok(id=1)))
    desk.subscriptions.ask_if_alive()
    assert len(desk.sent) == 2


@pytest.mark.parametrize("code", [10, 16, 17, 25, 99])
def test_an_error_that_ends_a_subscription_opens_it_again_and_its_books_are_unknown(code):
    desk = Desk()
    desk.subscriptions.follow_books(["A"])
    desk.subscriptions.open()
    desk.acknowledge(desk.sent[0], 3)
    (gap,) = desk.fail(code, sid=3)
    assert (gap.channel, list(gap.tickers)) == (BOOKS, ["A"])
    assert desk.sent[-1]["cmd"] == "subscribe"


@pytest.mark.parametrize("code", [6, 8, 11, 14, 27])
def test_an_error_that_answers_a_command_ends_nothing(code):
    desk = Desk("ticker")
    desk.subscriptions.open()
    desk.acknowledge(desk.sent[0], 1)
    assert desk.fail(code, number=1, sid=1) == []
    assert desk.subscriptions.channel(1) == "ticker"


def test_too_many_named_markets_lead_to_all_tickers_once():
    desk = Desk(TICKERS)
    desk.subscriptions.follow_tickers(["A", "B"])
    desk.subscriptions.open()
    desk.acknowledge(desk.sent[0], 1)
    (gap,) = desk.fail(26, sid=1)
    assert isinstance(gap, Gap)
    assert [each["cmd"] for each in desk.sent[1:]] == ["unsubscribe", "subscribe"]
    assert desk.last == {"channels": [TICKERS]}
    desk.subscriptions.reset()
    desk.subscriptions.open()
    assert desk.last == {"channels": [TICKERS]}
