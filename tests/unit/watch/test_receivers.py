"""The outbox against receivers that are slow, broken, or whose answer cannot be noted."""

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta

import pytest

from fairline.errors import StoreError
from fairline.watch.receivers import Post
from fairline.watch.state import State

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Fake:
    """Answers each letter with the next of its answers: taken or not, or seconds until it is."""

    def __init__(self, *answers):
        self.answers, self.got = list(answers), []

    def deliver(self, title, body):
        self.got.append(title)
        answer = self.answers.pop(0) if self.answers else True
        loop = asyncio.get_running_loop()
        result = loop.create_future()
        if isinstance(answer, bool):
            result.set_result(answer)
        else:
            loop.call_later(answer, lambda: result.done() or result.set_result(True))
        return result


@pytest.fixture
def state(tmp_path):
    made = State(tmp_path)
    yield made
    made.close()


async def settle(post):
    await post.land(5)


async def test_all_that_waits_goes_at_once_in_order(state):
    fake = Fake()
    post = Post(state, {"a": fake})
    for number in range(5):
        state.send("r", ["a"], (f"{number}", ""), NOW)
    post.deliver(NOW)
    await settle(post)
    assert fake.got == list("01234")
    assert state.outbox(NOW, all_of_it=True) == []
    assert post.delivered == 5


async def test_what_was_refused_comes_again_later_and_holds_up_its_own_receiver_only(state):
    bad, good = Fake(False), Fake()
    post = Post(state, {"bad": bad, "good": good})
    for number in range(2):
        state.send("r", ["bad", "good"], (f"{number}", ""), NOW)
    post.deliver(NOW)
    await settle(post)
    assert (bad.got, good.got) == (["0"], ["0", "1"])
    post.deliver(NOW + timedelta(seconds=4))
    await settle(post)
    assert bad.got == ["0"]
    post.deliver(NOW + timedelta(seconds=6))
    await settle(post)
    assert bad.got == ["0", "0", "1"]


async def test_one_that_is_slow_gets_a_letter_once_and_is_believed_when_it_answers(state):
    slow = Fake(0.3)
    post = Post(state, {"a": slow}, timeout_s=0.1)
    state.send("r", ["a"], ("once", ""), NOW)
    post.deliver(NOW)
    await settle(post)
    assert len(state.outbox(NOW, all_of_it=True)) == 1
    await asyncio.sleep(0.3)
    post.deliver(NOW + timedelta(minutes=1))
    await settle(post)
    assert slow.got == ["once"]
    assert state.outbox(NOW, all_of_it=True) == []


async def test_what_was_taken_but_could_not_be_noted_is_not_sent_again(state, monkeypatch):
    fake = Fake()
    post = Post(state, {"a": fake})
    state.send("r", ["a"], ("once", ""), NOW)
    noted = state.delivered

    def full(letter, now):
        raise StoreError("no room")

    monkeypatch.setattr(state, "delivered", full)
    for second in range(3):
        with contextlib.suppress(StoreError):
            post.deliver(NOW + timedelta(seconds=second))
        await settle(post)
    assert fake.got == ["once"]
    monkeypatch.setattr(state, "delivered", noted)
    post.deliver(NOW + timedelta(seconds=9))
    assert state.outbox(NOW, all_of_it=True) == []
    assert fake.got == ["once"]


async def test_a_letter_to_nobody_in_the_settings_waits(state):
    post = Post(state, {})
    state.send("r", ["gone"], ("kept", ""), NOW)
    post.deliver(NOW)
    await settle(post)
    assert len(state.outbox(NOW, all_of_it=True)) == 1
