"""The developers' own checks: retired words, and the size of functions."""

import ast
from pathlib import Path

import pytest
from dev.oldest import list_oldest
from dev.shape import measure_function, percentile
from dev.words import check_file, load_words

WORDS = load_words()


def check(tmp_path, text, name="sample.py"):
    path = tmp_path / name
    path.write_text(text)
    return [(finding.line, finding.used) for finding in check_file(WORDS, path)]


@pytest.mark.parametrize(
    ("text", "used"),
    [
        ("made = 1", "made"),
        ("self.told = 1", "told"),
        ("def sized(): pass", "sized"),
        ("def priced(): pass", "def priced"),
        ("class Teller: pass", "Teller"),
        ("_MOST = 3", "_MOST"),
        ("x = 1  # whoever reads this", "whoever"),
        ("x = f'{1} is no file of leagues'", "is no file"),
        ('def f():\n    """The price."""', '"""The …'),
        ("x = 1  # Who wants more sets it.", "Who wants"),
    ],
)  # fmt: skip
def test_retired_words_are_reported(tmp_path, text, used):
    assert used in [word for _, word in check(tmp_path, text)]


def test_plain_english_and_code_are_not_reported(tmp_path):
    text = """
def read_feed(seed):
    '''Return the price if there is no offer; who pays is unknown. Lines made by hand are kept.'''
    return seed
"""
    assert check(tmp_path, text) == []


def test_prose_is_checked_and_code_blocks_are_not(tmp_path):
    word = "whoever"
    text = f"Fine.\n\n```\n{word}\n```\n\nDone by {word}.\n"
    assert {line for line, _ in check(tmp_path, text, "page.md")} == {7}


def test_branches_of_nested_functions_count_for_themselves():
    tree = ast.parse("""
def outer(rows):
    '''Docstring.'''
    def inner(x):
        return 1 if x else 2
    if rows and len(rows) > 1:
        return [r for r in rows if r]
    return inner
""")
    outer, inner = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
    assert (measure_function(Path("x"), outer).branches, measure_function(Path("x"), inner).branches) == (4, 1)
    assert measure_function(Path("x"), outer).length == 6


def test_a_percentile_is_one_of_the_values():
    assert percentile([1, 2, 3, 4], 50) == 2
    assert percentile(list(range(1, 101)), 95) == 95


def test_the_oldest_versions_include_those_of_extras():
    project = {"dependencies": ["polars>=1.37"], "optional-dependencies": {"sql": ["duckdb>=1.1"]}}
    assert list_oldest(project) == ["duckdb==1.1", "polars==1.37"]
