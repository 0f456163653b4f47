"""The account at terminals of every width."""

import polars as pl
import pytest
from rich.console import Console

from fairline.output.account import POSITION_COLUMNS, account_grid, summary_lines
from fairline.positions.reconcile import CashIdentity

ROWS = pl.DataFrame({
    "ticker": ["KXNBASPREADC-26DEC07MAR36-MAR2", "KXMVECROSSCATEGORY-S2026895DDF8BBAD-4AF9DA3E2EE"],
    "side": ["yes", None],
    "contracts": [3_500.25, 0.0],
    "cost": [1_234.5, 0.0],
    "unrealized": [-12.25, None],
    "title": ["Marton wins by over 1.5 points, by all accounts", "A, B, C\x1b[31m and D"],
    "fees": [0.1234, 0.0],
})  # fmt: skip


def lines_of(width):
    console = Console(width=width, highlight=False, markup=False)
    with console.capture() as captured:
        console.print(account_grid(ROWS, POSITION_COLUMNS))
    return captured.get().splitlines()


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_no_ticker_and_no_number_is_ever_cut(width):
    lines = lines_of(width)
    text = "\n".join(lines)
    assert "KXNBASPREADC-26DEC07MAR36-MAR2" in text
    assert "KXMVECROSSCATEGORY-S2026895DDF8BBAD-4AF9DA3E2EE" in text
    assert "\x1b" not in text
    assert max(len(line) for line in lines) <= width
    if width >= 100:
        assert "3,500.25" in text
        assert "-12.25" in text


def test_the_summary_says_whether_the_balance_adds_up():
    totals = {"cash": 10.0, "value": 1.0, "exposure": 1.5, "realized": -2.0, "unrealized": -0.5, "fees": 0.1,
              "unmarked": 2}  # fmt: skip
    lines = summary_lines(totals, CashIdentity(12_000_000, 0, -2_000_000, 0, 10_000_000))
    assert "realised −$2.00" in lines[1]
    assert "2 holdings have no quote" in lines[2]
    assert lines[3].startswith("The balance adds up: deposits $12.00")
    off = summary_lines(totals, CashIdentity(12_000_000, 0, 0, 0, 10_000_000))
    assert "differs by −$2.0000" in off[3]
