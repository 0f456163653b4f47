"""Keyword arguments become options."""

from datetime import timedelta
from pathlib import Path

import pytest

from fairline.api.keywords import build_request, keywords_of, signature
from fairline.api.options import KEYWORDS, flag, keyword
from fairline.api.requests import ScanRequest
from fairline.errors import UsageError
from fairline.market.filters import Filters
from fairline.pricing.rules import Rules


def test_keywords_set_the_fields_of_the_right_option_class():
    request = build_request(ScanRequest, "scan", {"category": "Sports", "min_edge": 3.0, "books": False})
    assert request.filters.categories == ("Sports",)
    assert request.rules.min_edge_points == 3.0
    assert request.books.books is False
    assert request.sizing.bankroll is None


def test_single_values_durations_and_paths_can_be_text():
    request = build_request(
        ScanRequest, "scan", {"ticker": ["A", "B"], "closes_within": "7d", "record": "inputs", "caps": [1, 2, 3, 4]}
    )
    assert request.filters.tickers == ("A", "B")
    assert request.filters.closes_within == timedelta(days=7)
    assert request.inputs.record == Path("inputs")
    assert request.sizing.caps == (1, 2, 3, 4)


def test_an_unknown_keyword_is_a_type_error_that_suggests_the_closest_one():
    with pytest.raises(TypeError, match="argument 'min_egde'; did you mean 'min_edge'"):
        build_request(ScanRequest, "scan", {"min_egde": 1})


def test_an_invalid_value_names_its_field():
    with pytest.raises(UsageError) as caught:
        build_request(ScanRequest, "scan", {"size": 0})
    assert caught.value.field == "size"
    with pytest.raises(UsageError) as caught:
        build_request(ScanRequest, "scan", {"closes_within": "soon"})
    assert caught.value.field == "closes_within"


def test_the_signature_lists_every_option_with_its_default():
    parameters = signature(ScanRequest).parameters
    assert parameters["min_edge"].default == Rules().min_edge_points
    assert parameters["status"].default == Filters().status
    assert all(p.kind is p.KEYWORD_ONLY for p in parameters.values())


def test_each_renamed_field_exists_and_no_keyword_is_used_twice():
    fields = {field for kind in (Filters, Rules) for field in keywords_of(kind).values()}
    assert set(KEYWORDS) <= fields
    assert keyword("tickers") == "ticker"
    assert flag("min_edge_points") == "--min-edge"
    names = list(signature(ScanRequest).parameters)
    assert len(names) == len(set(names))
