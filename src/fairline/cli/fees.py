"""`fees`: what an order costs, with the calculation."""

from dataclasses import asdict
from typing import Annotated, Literal

from cyclopts import Group, Parameter

from fairline.api.options import Connection, Credentials
from fairline.cli.options import ConnectionOptions, CredentialOptions
from fairline.cli.output import FormatOptions, emit
from fairline.cli.terminal import note, passphrase_prompt

Policy = Literal["cautious", "order-cent", "order-centicent", "balance-cent", "balance-centicent", "exact"]
_OFFLINE = Group("Offline: terms in place of a market", sort_key=10)


def fees(
    ticker: Annotated[str, Parameter(help="A market. Its terms are read from the exchange.")] = "",
    /,
    *,
    size: Annotated[str, Parameter(help="Contracts, with at most two decimals.")] = "100",
    price: Annotated[str | None, Parameter(help="Price of a contract in dollars. Default: the best ask.")] = None,
    maker: Annotated[
        bool, Parameter(negative="", help="The order rests in the book instead of taking an offer.")
    ] = False,
    policy: Annotated[Policy, Parameter(help="How fees are rounded; see docs/pricing.md.")] = "cautious",
    at: Annotated[str | None, Parameter(help="As of this ISO 8601 time. Default: now.")] = None,
    fee_type: Annotated[str, Parameter(name="--type", group=_OFFLINE, help="Fee type.")] = "",
    multiplier: Annotated[float | None, Parameter(group=_OFFLINE, help="Fee multiplier. Default: 1.")] = None,
    fit: Annotated[
        bool, Parameter(negative="", help="Find the rounding that your own fills obey instead. Needs an API key.")
    ] = False,
    output: FormatOptions = FormatOptions(),
    connection: ConnectionOptions = Connection(),
    credentials: CredentialOptions = Credentials(),
) -> None:
    """Show the fee of an order, with the calculation. Offline with --type and --multiplier."""
    if fit:
        _emit_fit(connection, credentials, output)
        return
    from fairline.api.fees import fee

    report = fee(
        ticker,
        size=size,
        price=price,
        type=fee_type,
        multiplier=multiplier,
        maker=maker,
        policy=policy,
        at=at,
        **asdict(connection),
    )
    fields = asdict(report)
    emit(output, table=lambda: print(report), document=lambda: fields, rows=lambda: [fields])


def _emit_fit(connection: Connection, credentials: Credentials, output: FormatOptions) -> None:
    import asyncio

    from fairline.api.fee_fit import fit_account_fees
    from fairline.api.session import Hooks

    hooks = Hooks(notify=note, ask_passphrase=passphrase_prompt())
    report = asyncio.run(fit_account_fees(connection, credentials, hooks))
    document = report.document()
    emit(output, table=lambda: print(report), document=lambda: document, rows=lambda: document["policies"])
