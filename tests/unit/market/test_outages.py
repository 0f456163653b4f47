"""Outages of single markets."""

from datetime import UTC, datetime, timedelta

from fairline.market.outages import OutageLog

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


def test_an_outage_lasts_from_the_last_message_until_the_market_is_current():
    log = OutageLog()
    log.begin(["A", "B"], NOW, "the connection ended", silent_s=2.5)
    log.end("A", NOW + timedelta(seconds=1))
    (outage,) = log.take()
    assert (outage.ticker, outage.cause) == ("A", "the connection ended")
    assert outage.from_ts == NOW - timedelta(seconds=2.5)
    assert outage.until_ts == NOW + timedelta(seconds=1)
    assert log.tickers == ["B"]
    assert log.take() == []


def test_a_second_cause_does_not_shorten_an_outage():
    log = OutageLog()
    log.begin(["A"], NOW, "first")
    log.begin(["A"], NOW + timedelta(seconds=5), "second")
    log.end("A", NOW + timedelta(seconds=9))
    (outage,) = log.take()
    assert (outage.cause, outage.from_ts) == ("first", NOW)


def test_the_end_of_no_outage_is_nothing_and_a_clock_set_back_makes_no_negative_one():
    log = OutageLog()
    log.end("A", NOW)
    assert log.take() == []
    log.begin(["A"], NOW, "x")
    log.end("A", NOW - timedelta(seconds=5))
    (outage,) = log.take()
    assert outage.until_ts == outage.from_ts
