"""An account at the terminal: summary, tables that drop columns before they cut a number, and what does not add up."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import polars as pl

from fairline.market.problem import Problem
from fairline.positions.reconcile import CashIdentity
from fairline.text import sanitize

_GAP = 2
_NUMBERS = {
    "contracts": ("Contracts", 2),
    "cost": ("Cost $", 2),
    "average_price": ("Paid $", 4),
    "exit_price": ("Exit $", 4),
    "value": ("Value $", 2),
    "unrealized": ("Unrealised $", 2),
    "realized": ("Realised $", 2),
    "exposure": ("Exposure $", 2),
    "fees": ("Fees $", 4),
    "fee": ("Fee $", 4),
    "price": ("Price $", 4),
    "profit": ("Profit $", 4),
    "yes_payout": ("YES paid $", 2),
    "yes_contracts": ("YES", 2),
    "no_contracts": ("NO", 2),
    "resting_yes": ("Resting YES", 2),
    "resting_no": ("Resting NO", 2),
    "line_bid": ("Line bid $", 4),
    "line_ask": ("Line ask $", 4),
    "clv_mid_cents": ("CLV mid ¢", 2),
    "clv_exit_cents": ("CLV exit ¢", 2),
    "promised_price": ("Promised $", 4),
    "slippage": ("Slippage $", 4),
    "markets": ("Markets", 0),
}
_OUTCOME = "title"
_MIN_OUTCOME = 12
POSITION_COLUMNS = (
    "ticker", "side", "contracts", "unrealized", "average_price", "exit_price", "cost", "value", "title",
    "resting_yes", "resting_no", "fees",
)  # fmt: skip
SETTLED_COLUMNS = (
    "ticker", "result", "profit", "settled_at", "yes_contracts", "no_contracts", "cost", "fees", "title",
)  # fmt: skip
FILL_COLUMNS = ("ticker", "side", "contracts", "price", "fee", "filled_at", "taker", "title")
CLV_COLUMNS = (
    "ticker", "side", "contracts", "price", "clv_mid_cents", "clv_exit_cents", "line_bid", "line_ask", "filled_at",
)  # fmt: skip
"""Columns of each table, the most important first: the last are dropped first where the terminal is narrow."""


def summary_lines(totals: Mapping[str, float | int | None], identity: CashIdentity | None) -> list[str]:
    """Return the totals of an account, and whether its cash adds up, as lines."""
    cash = totals["cash"]
    lines = [
        f"Cash {_money(cash)}, positions worth {_money(totals['value'])} at the executable side "
        f"(cost {_money(totals['exposure'])})",
        f"Profit after fees: realised {_with_sign(totals['realized'])}, unrealised {_with_sign(totals['unrealized'])}; "
        f"fees paid {_money(totals['fees'])}",
    ]
    if totals["unmarked"]:
        lines.append(f"{totals['unmarked']} holdings have no quote to sell to and are left out of value and unrealised")
    if identity is not None:
        state = "adds up" if identity.holds else f"differs by {_with_sign(identity.difference_u / 1e6, 4)}"
        lines.append(
            f"The balance {state}: deposits {_money(identity.deposits_u / 1e6)}, withdrawals "
            f"{_money(identity.withdrawals_u / 1e6)}, settled {_with_sign(identity.settled_u / 1e6, 4)}, open markets "
            f"{_with_sign(identity.open_u / 1e6, 4)}"
        )
    return lines


def problem_lines(problems: Sequence[Problem]) -> list[str]:
    """Return what could not be read or does not add up, as lines."""
    return [sanitize(str(problem)) for problem in problems]


def fit_table(rows: pl.DataFrame, columns: Sequence[str], width: int) -> list[str]:
    """Return rows as lines of at most `width` characters.

    No ticker and no number is ever cut: columns are dropped from the end until the rest fits, and where not even two
    columns fit, each row becomes a block of lines. Only the outcome may be shortened.
    """
    cells = {name: [_cell(name, value) for value in rows[name].to_list()] for name in columns if name in rows.columns}
    chosen = list(cells)
    while len(chosen) > 1 and _width(cells, chosen) > width:
        chosen.pop()
    if _width(cells, chosen) > width or (len(chosen) < 2 and len(cells) > 1):
        return _blocks(cells, width)
    widths = {name: _column_width(cells, name) for name in chosen}
    if _OUTCOME in widths:
        spare = width - _width(cells, [name for name in chosen if name != _OUTCOME]) - _GAP
        widths[_OUTCOME] = min(max(map(len, [_OUTCOME, *cells[_OUTCOME]])), spare)
    lines = [_line([_heading(name) for name in chosen], chosen, widths)]
    lines += [_line([cells[name][row] for name in chosen], chosen, widths) for row in range(rows.height)]
    return lines


def _width(cells: Mapping[str, list[str]], columns: Sequence[str]) -> int:
    return sum(_column_width(cells, name) for name in columns) + _GAP * max(0, len(columns) - 1)


def _column_width(cells: Mapping[str, list[str]], name: str) -> int:
    widest = max(map(len, [_heading(name), *cells[name]]))
    return min(widest, _MIN_OUTCOME) if name == _OUTCOME else widest


def _line(texts: Sequence[str], names: Sequence[str], widths: Mapping[str, int]) -> str:
    parts = [
        text.rjust(widths[name]) if name in _NUMBERS else _shorten(text, widths[name]).ljust(widths[name])
        for text, name in zip(texts, names, strict=True)
    ]
    return (" " * _GAP).join(parts).rstrip()


def _shorten(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"


def _blocks(cells: Mapping[str, list[str]], width: int) -> list[str]:
    """Return one block of lines per row, a value on each line."""
    lines: list[str] = []
    count = len(next(iter(cells.values()), []))
    for row in range(count):
        for name, values in cells.items():
            label = "" if name == "ticker" else f"  {_heading(name)}: "
            value = _shorten(values[row], width - len(label)) if name == _OUTCOME else values[row]
            lines.append(label + value)
    return lines


def _heading(name: str) -> str:
    if name in _NUMBERS:
        return _NUMBERS[name][0]
    return {"filled_at": "Filled", "settled_at": "Settled", _OUTCOME: "Outcome"}.get(
        name, name.replace("_", " ").capitalize()
    )


def _cell(name: str, value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "taker" if value else "maker"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    if name in _NUMBERS and isinstance(value, int | float):
        return f"{value:,.{_NUMBERS[name][1]}f}"
    return sanitize(str(value))


def _money(dollars: float | None, decimals: int = 2) -> str:
    return "unknown" if dollars is None else f"${dollars:,.{decimals}f}"


def _with_sign(dollars: float | None, decimals: int = 2) -> str:
    if dollars is None:
        return "unknown"
    return f"{'−' if dollars < 0 else '+'}${abs(dollars):,.{decimals}f}"
