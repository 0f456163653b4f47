from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fairline.errors import InputError
from fairline.models import TableModel
from fairline.sources import Payload
from tests.unit.pricing.test_edge import NOW, markets

DAY = timedelta(hours=24)


def predict(text, *, changed_ts=NOW, max_age=DAY):
    model = TableModel(Path("mine.csv"), max_age)
    (request,) = model.requests(markets({}, {}), NOW)
    return model.predict(markets({}, {}), {request: Payload(request, changed_ts, text.encode())}, NOW)


def test_a_file_without_times_is_as_old_as_its_last_change():
    assert predict("ticker,p\nT0,0.7\n", changed_ts=NOW - timedelta(hours=23))["p"].to_list() == [0.7]
    with pytest.raises(InputError, match=r"mine.csv was last changed 25.0 h ago, more than 24 h") as caught:
        predict("ticker,p\nT0,0.7\n", changed_ts=NOW - timedelta(hours=25))
    assert caught.value.field == "max_table_age"
    assert predict("ticker,p\nT0,0.7\n", changed_ts=NOW - timedelta(days=9), max_age=None)["p"].to_list() == [0.7]


def test_a_line_that_is_too_old_is_reported_and_the_rest_is_used():
    text = "ticker,p,asof\nT0,0.7,2026-11-20T23:59Z\nT1,0.6,2026-11-21T12:00:00\n"
    rows = predict(text, changed_ts=NOW - timedelta(days=9))
    assert rows["p"].to_list() == [None, 0.6]
    assert rows["note"][0] == "line 2: T0: worked out at 2026-11-20 23:59 UTC, too long ago"


@pytest.mark.parametrize(
    "text",
    ["2026-11-21T12:00:00Z", "2026-11-21T13:00+01:00", "2026-11-21 12:00:00", "2026-11-21T12:00", "2026-11-21"],
)
def test_times_are_read_in_the_usual_forms(text):
    assert predict(f"ticker,p,asof\nT0,0.7,{text}\n")["note"].to_list() == [None]


def test_an_unreadable_time_is_reported():
    rows = predict("ticker,p,asof\nT0,0.7,yesterday\nT1,0.6,\n")
    assert rows["p"].to_list() == [None, 0.6]
    assert rows["note"][0] == "line 2: T0: asof = 'yesterday' is not a time"
    assert datetime(2026, 11, 22, tzinfo=UTC) == NOW
