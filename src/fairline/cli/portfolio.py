"""`portfolio`: what an account holds, what it earned, and whether it beat the closing line."""

import asyncio
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Group, Parameter

from fairline.api.options import AccountOptions, Connection, Credentials
from fairline.api.requests import PortfolioRequest
from fairline.cli.options import ConnectionOptions, CredentialOptions
from fairline.cli.output import TableOptions, emit
from fairline.cli.scanning import INCOMPLETE
from fairline.cli.terminal import note, passphrase_prompt
from fairline.errors import UsageError

if TYPE_CHECKING:
    import polars as pl

    from fairline.api.account_report import PortfolioReport

_VIEW = Group("What to show", sort_key=5)
_ACCOUNT = Group("The account", sort_key=15)
AccountParameters = Annotated[AccountOptions, Parameter(name="*", group=_ACCOUNT, negative_bool=())]
By = Literal["category", "event", "series", "model", "month"]


def portfolio(
    *,
    fills: Annotated[bool, Parameter(group=_VIEW, negative="", help="List every execution.")] = False,
    settled: Annotated[
        bool, Parameter(group=_VIEW, negative="", help="List every settled market with its profit.")
    ] = False,
    by: Annotated[By | None, Parameter(group=_VIEW, help="Sum profit and exposure by this.")] = None,
    account: AccountParameters = AccountOptions(),
    output: TableOptions = TableOptions(),
    connection: ConnectionOptions = Connection(),
    credentials: CredentialOptions = Credentials(),
) -> int:
    """Show what the account holds, what it earned, and whether it beat the closing line. Read-only."""
    from dataclasses import replace

    from fairline.api.account import run_portfolio_request
    from fairline.api.session import Hooks

    if sum((fills, settled, account.clv, by is not None)) > 1:
        raise UsageError("choose one of fills, settled, clv and by")
    arrangement = output.arrangement
    account = replace(account, history=fills or settled or account.clv or by is not None)
    request = PortfolioRequest(connection, credentials, account)
    hooks = Hooks(notify=note, ask_passphrase=passphrase_prompt())
    report = asyncio.run(run_portfolio_request(request, hooks))
    view, columns = _view(report, fills=fills, settled=settled, clv=account.clv, by=by)
    rows = arrangement.apply(view)
    full = view is report.positions
    shown = tuple(rows.columns) if arrangement.columns else columns
    emit(
        output,
        table=lambda: _print_table(report, rows, shown, full=full),
        document=lambda: report.document() | {"positions": rows} if full else {"rows": rows},
        rows=lambda: rows,
    )
    if not output.is_table:
        for problem in report.problems:
            note(f"fairline: {problem}")
    return 0 if report.complete else INCOMPLETE


def _view(
    report: "PortfolioReport", *, fills: bool, settled: bool, clv: bool, by: str | None
) -> "tuple[pl.DataFrame, tuple[str, ...]]":
    """Return the table to show and its columns, the most important first."""
    from fairline.output import account

    if fills:
        return report.fills, account.FILL_COLUMNS
    if settled:
        return report.settled, account.SETTLED_COLUMNS
    if clv:
        return report.clv, account.CLV_COLUMNS
    if by is not None:
        return report.by(by), (by, "realized", "unrealized", "exposure", "markets")
    return report.positions, account.POSITION_COLUMNS


def _print_table(report: "PortfolioReport", rows: "pl.DataFrame", columns: tuple[str, ...], *, full: bool) -> None:
    from rich.text import Text

    from fairline.output import account
    from fairline.output.console import show

    if full:
        show(Text("\n".join(account.summary_lines(report.totals, report.identity))))
    if rows.is_empty():
        print("Nothing to show.")
    else:
        show(account.account_grid(rows, columns))
    if report.clv.height:
        show(Text("\n".join(_closing_line_summary(report))))
    for line in account.problem_lines(report.problems):
        note(f"fairline: {line}")


def _closing_line_summary(report: "PortfolioReport") -> list[str]:
    """Return the mean closing-line value with its interval, and how many fills have none."""
    known = report.clv["clv_mid_cents"].count()
    lines = [
        f"{report.clv.height - known} of {report.clv.height} fills have no closing line: no known start, or in play"
    ]
    for name, column in (("the middle", "clv_mid_cents"), ("the exit price", "clv_exit_cents")):
        interval = report.clv_interval(column)
        if interval is None:
            continue
        width = f"{interval.low:+.2f} … {interval.high:+.2f}" if interval.clusters > 1 else "no interval from one event"
        lines.append(
            f"Mean value against {name} of the closing line: {interval.mean:+.2f} ¢ per contract "
            f"({width}; {interval.n} fills in {interval.clusters} events)"
        )
    return lines
