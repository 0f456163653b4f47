from email.utils import formatdate

import pytest

from fairline.kalshi.clock import skew_of


def test_the_skew_is_corrected_for_the_round_trip():
    # The server made the answer at 1,000.5 by its clock; ours read 990 when asked and 994 when answered.
    skew = skew_of({"Date": formatdate(1_000, usegmt=True)}, 990.0, 994.0)
    assert skew.seconds == pytest.approx(8.5)
    assert skew.error == pytest.approx(2.5)
    assert str(skew) == "this machine's clock is 8.5 s behind the exchange's (± 2.5 s)"


def test_a_clock_that_agrees_says_so():
    skew = skew_of({"Date": formatdate(1_000, usegmt=True)}, 1_000.2, 1_000.4)
    assert "agrees" in str(skew)
    assert "ahead of" in str(skew_of({"Date": formatdate(1_000, usegmt=True)}, 1_060.0, 1_060.0))


@pytest.mark.parametrize("headers", [{}, {"Date": "yesterday"}, {"Date": ""}])
def test_without_a_usable_date_nothing_is_claimed(headers):
    assert skew_of(headers, 0.0, 1.0) is None
