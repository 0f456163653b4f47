"""Durations as text."""

from datetime import timedelta

import pytest

from fairline.text import format_duration, parse_duration


@pytest.mark.parametrize("text", ["1s", "90s", "90m", "1h", "36h", "7d"])
def test_a_formatted_duration_is_the_text_it_was_parsed_from(text):
    assert format_duration(parse_duration(text)) == text


def test_a_duration_is_formatted_in_whole_seconds():
    assert format_duration(timedelta(milliseconds=1_600)) == "2s"
