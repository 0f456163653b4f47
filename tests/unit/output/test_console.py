"""Output on terminals of any width and encoding."""

import io
import sys

import pytest

from fairline.output.console import PIPE_WIDTH, allow_any_encoding, open_console


def test_a_pipe_is_wide_unless_columns_says_otherwise(monkeypatch, capsys):
    assert open_console().width == PIPE_WIDTH
    monkeypatch.setenv("COLUMNS", "60")
    assert open_console().width == 60


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_characters_without_a_code_are_replaced_by_similar_ones(monkeypatch, encoding):
    content = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(content, encoding=encoding))
    allow_any_encoding()
    print("0.07 – … → “x” ж")
    sys.stdout.flush()
    assert content.getvalue().decode(encoding) == '0.07 - ... -> "x" ?\n'
