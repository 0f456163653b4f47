"""Sequence numbers of the feed's subscriptions."""

from hypothesis import given
from hypothesis import strategies as st

from fairline.kalshi.feed_sequence import Place, Sequences


def places(*numbers, sid=1):
    sequences = Sequences()
    return [sequences.place(sid, number) for number in numbers]


def test_consecutive_numbers_are_in_sequence_whatever_the_first_is():
    assert set(places(1, 2, 3)) == {Place.NEXT}
    assert set(places(279597, 279598)) == {Place.NEXT}


def test_a_missing_number_is_a_gap_once():
    assert places(1, 2, 5, 6) == [Place.NEXT, Place.NEXT, Place.AFTER_GAP, Place.NEXT]


def test_repeated_and_late_numbers_count_nothing():
    assert places(1, 2, 2, 1, 3) == [Place.NEXT, Place.NEXT, Place.REPEATED, Place.REPEATED, Place.NEXT]


def test_a_message_without_a_number_is_always_next():
    assert places(1, None, 2) == [Place.NEXT, Place.NEXT, Place.NEXT]


def test_subscriptions_count_for_themselves():
    sequences = Sequences()
    assert [sequences.place(sid, 1) for sid in (1, 2, 3)] == [Place.NEXT] * 3


@given(st.lists(st.integers(1, 30), min_size=1, max_size=60))
def test_only_rising_numbers_are_passed_on(numbers):
    sequences = Sequences()
    passed = [number for number in numbers if sequences.place(1, number) is not Place.REPEATED]
    assert passed == sorted(set(passed))
