import asyncio
import math

import pytest

from fairline.kalshi.limits import TIERS, Rate, TokenBucket


class Clock:
    """Time that passes only while something sleeps."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    async def sleep(self, seconds):
        self.now += seconds
        await asyncio.sleep(0)


def bucket(rate=TIERS["basic"]):
    clock = Clock()
    return TokenBucket(rate, clock=clock, sleep=clock.sleep), clock


async def drain(limiter, clock, requests, cost=10):
    times = []

    async def one():
        await limiter.take(cost)
        times.append(clock.now)

    await asyncio.gather(*(one() for _ in range(requests)))
    return times


async def test_it_never_exceeds_burst_or_rate_and_uses_at_least_97_percent():
    limiter, clock = bucket()
    times = await drain(limiter, clock, 3_000)
    assert sum(t == 0 for t in times) == 60, "the burst is the capacity"
    for start in range(0, int(times[-1]) - 60, 7):
        sent = sum(start < t <= start + 60 for t in times)
        assert sent * 10 <= 200 * 60 + 600
        if start > 0:
            assert sent * 10 <= 200 * 60 + 10
    assert 0.97 * (600 + 200 * times[-1]) <= 3_000 * 10


async def test_after_a_rest_it_saves_no_more_than_its_capacity():
    limiter, clock = bucket()
    await drain(limiter, clock, 60)
    clock.now += 3_600
    times = await drain(limiter, clock, 200)
    assert sum(t == times[0] for t in times) == 60


async def test_a_429_empties_the_bucket_and_halves_the_rate():
    limiter, clock = bucket()
    limiter.record_refusal()
    assert limiter.share == 0.5
    times = await drain(limiter, clock, 20)
    assert times[-1] == pytest.approx(20 * 10 / 100)


def test_several_429_of_one_burst_count_once():
    limiter, clock = bucket()
    for _ in range(16):
        limiter.record_refusal()
        clock.now += 0.05
    assert limiter.share == 0.5
    clock.now += 2
    limiter.record_refusal()
    assert limiter.share == 0.25


def test_the_rate_never_falls_below_a_twentieth():
    limiter, clock = bucket()
    for _ in range(100):
        clock.now += 2
        limiter.record_refusal()
    assert limiter.share == TokenBucket.MIN_SHARE


@pytest.mark.parametrize("answers_per_second", [2, 20, 200])
def test_after_a_429_the_rate_recovers_by_time_however_many_answers_arrive(answers_per_second):
    limiter, clock = bucket()
    limiter.record_refusal()

    def answer_for(seconds):
        for _ in range(seconds * answers_per_second):
            clock.now += 1 / answers_per_second
            limiter.record_answer()

    answer_for(2)
    assert limiter.share == pytest.approx(0.7, abs=0.01)
    answer_for(1)
    assert limiter.share == pytest.approx(0.8, abs=0.01), "fast up to 80 % of the refused rate"
    answer_for(10)
    assert limiter.share == pytest.approx(0.9, abs=0.02), "slowly beyond"
    answer_for(15)
    assert limiter.share == 1.0


def test_a_pause_without_answers_is_no_evidence_that_the_rate_was_right():
    limiter, clock = bucket()
    limiter.record_refusal()
    clock.now += 3_600
    limiter.record_answer()
    assert limiter.share == pytest.approx(0.7)


async def test_requests_are_served_in_the_order_they_came():
    limiter, _ = bucket(Rate(10, 10))
    order = []

    async def one(name):
        await limiter.take()
        order.append(name)

    await asyncio.gather(*(one(i) for i in range(10)))
    assert order == list(range(10))


async def test_a_cost_above_the_capacity_takes_the_whole_bucket_rather_than_wait_for_ever():
    limiter, clock = bucket(Rate(10, 20))
    await limiter.take(1_000)
    await limiter.take(1_000)
    assert clock.now == pytest.approx(2.0)


def test_as_many_side_by_side_as_use_up_the_rate_and_what_is_saved_by_the_end():
    bucket = TokenBucket(Rate(refill=200, capacity=600), clock=lambda: 0.0)
    assert bucket.useful_concurrency(60, 0.2) == math.inf, "the savings are enough for all"
    few, many = bucket.useful_concurrency(10_000, 0.2), bucket.useful_concurrency(120, 0.2)
    assert few == 6, "20 a second at 0.2 s each, and some more because answers come unevenly"
    assert many == 11, "half are paid by savings: twice as fast"


def test_a_bigger_budget_does_not_come_with_a_fresh_burst():
    limiter, _ = bucket(Rate(10, 20))
    limiter.resize(Rate(100, 300))
    assert limiter._tokens == 20


@pytest.mark.parametrize("refill,capacity", [(0, 10), (-1, 10), (10, 5)])
def test_an_impossible_rate_is_refused(refill, capacity):
    with pytest.raises(ValueError, match="invalid rate"):
        Rate(refill, capacity)


def test_the_reserve_is_one_request_and_less_than_three_percent_of_a_burst():
    assert TIERS["basic"].with_reserve() == Rate(200, 590)
    assert Rate(10, 10).with_reserve() == Rate(10, 10)
    assert all(rate.with_reserve().capacity >= 0.97 * rate.capacity for rate in TIERS.values())
