"""Tables that fit the terminal."""

import pytest
from rich.console import Console

from fairline.output.grid import Column, Grid, wrap

TICKERS = ["KXNBAGAMEB-26NOV29GALEA-NOR0", "KXHIGHNY-26NOV23-B54.5"]
COLUMNS = [
    Column("Ticker", TICKERS, links=["https://kalshi.com/markets/a", ""]),
    Column("Outcome", ["Normont wins by more than ten points", "54° to 55°"], rank=2, shortest=10),
    Column("Side", ["NO", "YES"]),
    Column("Price $", ["0.130", "0.045"], right=True),
    Column("EV $", ["0.272", "0.011"], right=True),
    Column("EV/$", ["196.8%", "12.0%"], rank=1, right=True),
    Column("Spread %", ["2.3", "14.9"], rank=9, right=True),
]


def shown(width, columns=COLUMNS, **more):
    console = Console(width=width, **more)
    with console.capture() as captured:
        console.print(Grid(columns), crop=False)
    return captured.get()


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_no_line_is_too_long_and_nothing_essential_is_missing(width):
    text = shown(width)
    assert max(len(line) for line in text.splitlines()) <= width
    for cell in (*TICKERS, "NO", "YES", "0.130", "0.045", "0.272", "0.011"):
        assert cell in text


def test_columns_are_left_out_by_rank_and_text_is_wrapped_first():
    assert "Spread %" in shown(100)
    assert "Spread %" not in shown(70)
    assert "Normont wins by more than ten points" in shown(120)
    assert "Normont wins by" in shown(80)
    assert "than ten points" in shown(80)
    assert "…" not in shown(80)
    assert "Outcome" not in shown(60)
    assert "196.8%" in shown(60)


def test_where_not_even_the_essential_columns_fit_each_record_is_a_block():
    text = shown(40)
    assert text.splitlines()[0] == TICKERS[0]
    assert "Side NO  Price $ 0.130" in text
    assert "Spread % 14.9" in text


def test_a_ticker_longer_than_the_terminal_is_not_cut():
    long = "KXMVESPORTSMULTIGAMEEXTENDED-S2026ABCDEF0123456789-ABCDEF0123456789ABCDEF"
    assert long in shown(40, [Column("Ticker", [long]), Column("Price $", ["0.5"], right=True)]).replace("\n", "")


def test_control_characters_do_not_reach_the_terminal():
    assert "\x1b" not in shown(80, [Column("Ticker", ["A\x1b[31mB"]), Column("Title", ["a\nb\u202ec"])])


def test_a_terminal_gets_links_and_a_pipe_does_not():
    assert "]8;" in shown(140, force_terminal=True, color_system="truecolor")
    assert "]8;" not in shown(140)


def test_text_is_wrapped_between_words_so_that_no_number_is_cut():
    assert wrap("Above 6,000.50 points", 10) == ["Above", "6,000.50", "points"]
    assert wrap("a b c d e f g h i j k l", 3) == ["a b", "c d", "e …"]
    assert wrap("short", 10) == ["short"]
    assert wrap("東京の天気", 4) == ["東京", "の天", "気"]
