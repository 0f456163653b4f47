"""`balance` and `doctor`: the account, and why authentication fails."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter, validators

from fairline.api.options import Connection
from fairline.cli.options import ConnectionOptions, SigningOptions
from fairline.cli.output import FormatOptions
from fairline.cli.settings import read_settings


def balance(
    *,
    output: FormatOptions = FormatOptions(),
    connection: ConnectionOptions = Connection(),
    signing: SigningOptions = SigningOptions(),
) -> None:
    """Show the account's balance, which proves that signing works."""
    from fairline.cli.signing import print_balance

    print_balance(read_settings(connection, signing), output)


@Parameter(name="*", group=Group("A request of another program", sort_key=10))
@dataclass(frozen=True, slots=True)
class SentOptions:
    """What another program sent, to be diagnosed instead of a request of our own."""

    headers: Path | None = None
    """A file with the request line and headers that a failing program sent."""
    method: str = "GET"
    """Instead of --headers: the HTTP method."""
    path: str = ""
    """Path with its query, from the host's root."""
    timestamp: str = ""
    """KALSHI-ACCESS-TIMESTAMP as sent."""
    signature: str = ""
    """KALSHI-ACCESS-SIGNATURE as sent."""


def doctor(
    *,
    output: FormatOptions = FormatOptions(),
    subaccount: Annotated[
        int | None, Parameter(validator=validators.Number(gte=0, lte=63), help="Check this subaccount, 0 to 63.")
    ] = None,
    other_exchange: Annotated[str | None, Parameter(help="Another exchange that the key may belong to.")] = None,
    contract: Annotated[
        bool,
        Parameter(negative="", help="Compare the exchange's data with what this version expects. At most 60 requests."),
    ] = False,
    sent: SentOptions = SentOptions(),
    connection: ConnectionOptions = Connection(),
    signing: SigningOptions = SigningOptions(),
) -> int:
    """Find out why authentication fails: cause, evidence and remedy. Read-only."""
    from fairline.cli.signing import examine

    other = read_settings(Connection(exchange=other_exchange)).url if other_exchange else ""
    settings = read_settings(connection, signing)
    if contract:
        from fairline.cli.contract import check_contract

        return check_contract(settings, output)
    return examine(settings, sent, output, other_url=other, subaccount=subaccount)
