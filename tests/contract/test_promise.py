"""What is believed on recorded sets is kept, and the shipped records are those that the recordings give."""

import pytest
from benchmarks.evidence import DATA, all_evidence, fit_shipped_records
from benchmarks.promise import holm, judge, shortfall_p

from fairline.pricing.records import shipped_records


@pytest.fixture(scope="module")
def promises(shared):
    assert shared == DATA
    return [judge(evidence) for evidence in all_evidence()]


def test_a_raw_promise_was_broken(promises):
    """Otherwise belief would not be needed, and the next test would prove nothing."""
    verdicts = holm([shortfall_p(promise.rows, "promised") for promise in promises])
    broken = {promise.model for promise, verdict in zip(promises, verdicts, strict=True) if verdict == "broken"}
    assert broken == {"elo"}


def test_no_believed_promise_was_broken(promises):
    for rows in ("rows", "believed_rows"):
        verdicts = holm([shortfall_p(getattr(promise, rows), "believed") for promise in promises])
        assert "broken" not in verdicts


def test_the_shipped_records_are_those_of_the_recordings(shared):
    fitted = {(record.model, record.category): record for record, _ in fit_shipped_records()}
    shipped = {(record.model, record.category): record for record in shipped_records()}
    assert fitted.keys() == shipped.keys() == {("elo", "Sports"), ("diffusion", "Crypto")}
    for key, record in shipped.items():
        assert record.events == fitted[key].events
        for field in ("k", "cap", "estimate", "standard_error"):
            assert getattr(record, field) == pytest.approx(getattr(fitted[key], field), abs=1e-4)


def test_holm_corrects_for_the_number_of_sets():
    assert holm([0.02, 0.04, None]) == ["broken", "broken", "not judged"]
    assert holm([0.03, 0.04]) == ["kept", "kept"]
    assert holm([0.001, 0.6]) == ["broken", "kept"]
