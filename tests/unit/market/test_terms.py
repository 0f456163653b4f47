from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from fairline.kalshi.cache import ExchangeCache
from fairline.kalshi.decoding import Page
from fairline.kalshi.fee_changes import FeeChanges, read_fee_changes
from fairline.kalshi.wire import Event, EventFeeChange, Series, SeriesFeeChange, series_list
from fairline.market.fees import POLICIES
from fairline.market.terms import Terms, apply_changes, quote, terms_at

SERIES = Series("KXA", fee_type="quadratic_with_maker_fees", fee_multiplier=0.5)
EVENT = Event("KXA-1", "KXA")


def day(number):
    return datetime(2026, 11, number, tzinfo=UTC)


def series_change(number, kind="quadratic", multiplier=1.0):
    return SeriesFeeChange("KXA", kind, multiplier, day(number))


def overridden(number, kind, multiplier):
    return EventFeeChange("KXA-1", "KXA", day(number), kind, multiplier)


def at(number, series_changes=(), event=EVENT, event_changes=(), **more):
    terms = terms_at(SERIES, series_changes, event, event_changes, day(number), **more)
    return terms.fee_type, terms.multiplier_m


def test_without_changes_and_overrides_the_terms_are_those_of_the_series():
    assert at(10) == ("quadratic_with_maker_fees", 5_000)


def test_a_scheduled_change_applies_from_its_time_on():
    changes = [series_change(15), series_change(20, multiplier=0.0)]
    assert at(14, changes) == ("quadratic_with_maker_fees", 5_000)
    assert at(15, changes) == ("quadratic", 10_000)
    assert at(25, changes) == ("quadratic", 0)


def test_an_override_can_be_partial_and_can_be_cleared():
    overriding = Event("KXA-1", "KXA", fee_multiplier_override=0.25)
    assert at(10, event=overriding) == ("quadratic_with_maker_fees", 2_500)
    changes = [overridden(12, "quadratic", 2.0), overridden(18, None, None)]
    assert at(11, event=overriding, event_changes=changes) == ("quadratic_with_maker_fees", 2_500)
    assert at(12, event=overriding, event_changes=changes) == ("quadratic", 20_000)
    assert at(18, event=overriding, event_changes=changes) == ("quadratic_with_maker_fees", 5_000)


def test_trading_is_free_until_a_waiver_expires():
    assert at(10, waived_until=day(11)) == ("quadratic", 0)
    assert at(11, waived_until=day(11)) == ("quadratic_with_maker_fees", 5_000)


def test_the_derivation_shows_the_calculation():
    result = quote(Terms("quadratic", 10_000, "as given"), 100_000, 10_000)
    assert result.fee_u == 630_000
    assert "1 × 0.07 × 100 × 0.1 × 0.9 = $0.63" in result.derivation()[2]


@pytest.mark.parametrize(("kind", "fee_u"), [("quadratic", 0), ("quadratic_with_maker_fees", 410_000)])
def test_makers_pay_by_type(kind, fee_u):
    # 0.0175 · 100 · 0.37 · 0.63 = 0.407925, up to 41 cents.
    result = quote(Terms(kind, 10_000, ""), 370_000, 10_000, maker=True, policy=POLICIES["order-cent"])
    assert result.fee_u == fee_u


def test_changes_between_reading_and_now_apply_to_series_and_events():
    changes = FeeChanges([series_change(15), series_change(20, multiplier=0.0)], [overridden(12, "quadratic", 2.0)])
    (series,), (event,) = apply_changes([SERIES], [EVENT], changes, (day(11), day(11)), day(16))
    assert (series.fee_type, series.fee_multiplier) == ("quadratic", 1.0)
    assert (event.fee_type_override, event.fee_multiplier_override) == ("quadratic", 2.0)
    (series,), (event,) = apply_changes([SERIES], [EVENT], changes, (day(13), day(13)), day(14))
    assert (series, event) == (SERIES, EVENT), "what was due before they were read is in them already"
    (series,), _ = apply_changes([SERIES], [EVENT], changes, (day(11), day(11)), day(25))
    assert series.fee_multiplier == 0.0, "the latest counts"


def test_a_cleared_override_restores_the_terms_of_the_series():
    overriding = Event("KXA-1", "KXA", fee_type_override="quadratic", fee_multiplier_override=0.25)
    _, (event,) = apply_changes(
        [SERIES], [overriding], FeeChanges([], [overridden(12, None, None)]), (day(11), day(11)), day(13)
    )
    assert (event.fee_type_override, event.fee_multiplier_override) == (None, None)


def test_a_negative_multiplier_is_refused():
    page = series_list(b'{"series": [{"ticker": "KXA", "fee_multiplier": -1}, {"ticker": "KXB", "fee_multiplier": 0}]}')
    assert [s.ticker for s in page.rows] == ["KXB"]
    assert [(r.ticker, r.field) for r in page.rejected] == [("KXA", "fee_multiplier")]


def test_changes_older_than_the_reading_are_not_applied_again():
    changes = FeeChanges([series_change(12, multiplier=0.0)], [overridden(12, "quadratic", 2.0)])
    (series,), (event,) = apply_changes([SERIES], [EVENT], changes, (day(13), day(11)), day(14))
    assert (series, event.fee_multiplier_override) == (SERIES, 2.0)


async def test_a_withdrawn_change_is_forgotten_and_one_in_force_is_not(tmp_path):
    now = datetime.now(UTC)
    come, coming = (replace(series_change(1), scheduled_ts=now + timedelta(hours=h)) for h in (-1, 1))
    memory = ExchangeCache(tmp_path, "x")
    memory.save("fee-changes", FeeChanges([come, coming]))

    class Nothing:
        async def fee_changes(self):
            return Page([], [], None)

    class Client:
        series = events = Nothing()

    assert (await read_fee_changes(Client(), memory, 60)).series == [come]
