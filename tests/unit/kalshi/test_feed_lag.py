"""The feed's lag, also while the local clock steps."""

from fairline.kalshi.feed_lag import LagMeter
from fairline.kalshi.feed_messages import decode


def ticker(ts_ms):
    return decode(
        b'{"type":"ticker","sid":1,"msg":{"market_ticker":"A","yes_bid_dollars":"0.1000","yes_ask_dollars":"0.2000",'
        b'"yes_bid_size_fp":"1.00","yes_ask_size_fp":"1.00","ts_ms":%d}}' % ts_ms
    )


class Clocks:
    def __init__(self):
        self.wall, self.steady = 1_000.0, 50.0
        self.meter = LagMeter(lambda: self.wall, lambda: self.steady)

    def pass_time(self, seconds):
        self.wall += seconds
        self.steady += seconds


def test_lag_is_the_time_since_the_exchange_sent():
    clocks = Clocks()
    clocks.meter.observe(ticker(999_900))
    assert abs(clocks.meter.percentile(0.5) - 0.1) < 1e-9


def test_before_the_first_message_nothing_is_known():
    assert Clocks().meter.percentile(0.5) is None


def test_a_wrong_local_clock_is_corrected():
    clocks = Clocks()
    clocks.meter.set_offset(-0.25)
    clocks.meter.observe(ticker(999_700))
    assert abs(clocks.meter.percentile(0.5) - 0.05) < 1e-9


def test_a_step_of_the_local_clock_is_counted_and_changes_no_lag():
    clocks = Clocks()
    clocks.pass_time(10)
    clocks.wall += 45
    clocks.meter.observe(ticker(1_009_900))
    clocks.pass_time(1)
    clocks.meter.observe(ticker(1_010_900))
    assert clocks.meter.clock_steps == 1
    assert abs(clocks.meter.percentile(1.0) - 0.1) < 1e-6


def test_percentiles_are_of_the_latest_messages():
    clocks = Clocks()
    for number in range(1_000):
        clocks.meter.observe(ticker(1_000_000 - (5_000 if number < 100 else number % 100)))
    assert clocks.meter.percentile(0.99) < 0.1
