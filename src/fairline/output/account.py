"""An account at the terminal: summary, tables, and what does not add up."""

from collections.abc import Mapping, Sequence

import polars as pl

from fairline.market.problem import Problem
from fairline.output.cells import MISSING, Formatter, column, moment, number, text
from fairline.output.grid import Column, Grid
from fairline.positions.reconcile import CashIdentity
from fairline.text import sanitize

_MIN_OUTCOME = 12


def _role(taker: object) -> str:
    if taker is None:
        return MISSING
    return "taker" if taker else "maker"


_HEADINGS: dict[str, tuple[str, Formatter]] = {
    "contracts": ("Contracts", number("{:,.2f}")),
    "cost": ("Cost $", number("{:,.2f}")),
    "average_price": ("Paid $", number("{:.4f}")),
    "exit_price": ("Exit $", number("{:.4f}")),
    "value": ("Value $", number("{:,.2f}")),
    "unrealized": ("Unrealised $", number("{:,.2f}")),
    "realized": ("Realised $", number("{:,.2f}")),
    "exposure": ("Exposure $", number("{:,.2f}")),
    "fees": ("Fees $", number("{:,.4f}")),
    "fee": ("Fee $", number("{:,.4f}")),
    "price": ("Price $", number("{:.4f}")),
    "profit": ("Profit $", number("{:,.4f}")),
    "yes_payout": ("YES paid $", number("{:.2f}")),
    "yes_contracts": ("YES", number("{:,.2f}")),
    "no_contracts": ("NO", number("{:,.2f}")),
    "resting_yes": ("Resting YES", number("{:,.2f}")),
    "resting_no": ("Resting NO", number("{:,.2f}")),
    "line_bid": ("Line bid $", number("{:.4f}")),
    "line_ask": ("Line ask $", number("{:.4f}")),
    "clv_mid_cents": ("CLV mid ¢", number("{:+.2f}")),
    "clv_exit_cents": ("CLV exit ¢", number("{:+.2f}")),
    "markets": ("Markets", number("{:,}")),
    "title": ("Outcome", text),
    "filled_at": ("Filled UTC", moment(local=False)),
    "settled_at": ("Settled UTC", moment(local=False)),
    "taker": ("Role", _role),
}
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


def account_grid(rows: pl.DataFrame, names: Sequence[str]) -> Grid:
    """Return rows as a table that fits the terminal: the last names are left out first, and only outcomes shortened."""
    shown = [name for name in names if name in rows.columns]
    return Grid([_column(rows, name, rank) for rank, name in enumerate(shown)])


def _column(rows: pl.DataFrame, name: str, rank: int) -> Column:
    heading, form = _HEADINGS.get(name, (name.replace("_", " ").capitalize(), text))
    return column(rows, name, heading, form, rank=rank, shortest=_MIN_OUTCOME if name == "title" else None)


def _money(dollars: float | None, decimals: int = 2) -> str:
    return "unknown" if dollars is None else f"${dollars:,.{decimals}f}"


def _with_sign(dollars: float | None, decimals: int = 2) -> str:
    if dollars is None:
        return "unknown"
    return f"{'−' if dollars < 0 else '+'}${abs(dollars):,.{decimals}f}"
