"""The outbox with receivers that are slow or broken, and with a state that cannot be written."""

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta

import pytest

from fairline.errors import StoreError
from fairline.watch.outbox import Outbox
from fairline.watch.state import State

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Fake:
    """Answers each message with the next of its answers: whether it is accepted, or after how many seconds it is."""

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
    state = State(tmp_path)
    yield state
    state.close()


async def finish(outbox):
    await outbox.drain(5)


async def test_pending_messages_are_sent_at_once_and_in_order(state):
    fake = Fake()
    outbox = Outbox(state, {"a": fake})
    for number in range(5):
        state.enqueue("r", ["a"], (f"{number}", ""), NOW)
    outbox.deliver(NOW)
    await finish(outbox)
    assert fake.got == list("01234")
    assert state.pending_messages() == []
    assert outbox.delivered == 5


async def test_a_rejected_message_is_retried_and_delays_only_its_own_receiver(state):
    bad, good = Fake(False), Fake()
    outbox = Outbox(state, {"bad": bad, "good": good})
    for number in range(2):
        state.enqueue("r", ["bad", "good"], (f"{number}", ""), NOW)
    outbox.deliver(NOW)
    await finish(outbox)
    assert (bad.got, good.got) == (["0"], ["0", "1"])
    outbox.deliver(NOW + timedelta(seconds=4))
    await finish(outbox)
    assert bad.got == ["0"]
    outbox.deliver(NOW + timedelta(seconds=6))
    await finish(outbox)
    assert bad.got == ["0", "0", "1"]


async def test_a_slow_receiver_gets_a_message_once_and_its_late_answer_counts(state):
    slow = Fake(0.3)
    outbox = Outbox(state, {"a": slow}, timeout_s=0.1)
    state.enqueue("r", ["a"], ("once", ""), NOW)
    outbox.deliver(NOW)
    await finish(outbox)
    assert len(state.pending_messages()) == 1
    await asyncio.sleep(0.3)
    outbox.deliver(NOW + timedelta(minutes=1))
    await finish(outbox)
    assert slow.got == ["once"]
    assert state.pending_messages() == []


async def test_an_accepted_message_that_could_not_be_marked_is_not_sent_again(state, monkeypatch):
    fake = Fake()
    outbox = Outbox(state, {"a": fake})
    state.enqueue("r", ["a"], ("once", ""), NOW)
    mark_delivered = state.mark_delivered

    def fail(message, now):
        raise StoreError("no room")

    monkeypatch.setattr(state, "mark_delivered", fail)
    for second in range(3):
        with contextlib.suppress(StoreError):
            outbox.deliver(NOW + timedelta(seconds=second))
        await finish(outbox)
    assert fake.got == ["once"]
    monkeypatch.setattr(state, "mark_delivered", mark_delivered)
    outbox.deliver(NOW + timedelta(seconds=9))
    assert state.pending_messages() == []
    assert fake.got == ["once"]


async def test_a_message_to_a_receiver_not_in_the_settings_waits(state):
    outbox = Outbox(state, {})
    state.enqueue("r", ["gone"], ("kept", ""), NOW)
    outbox.deliver(NOW)
    await finish(outbox)
    assert len(state.pending_messages()) == 1
