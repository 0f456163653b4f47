"""The options that several commands share, and what their texts mean."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from fairline import report
from fairline.errors import InputError, UsageError
from fairline.listing import Filters
from fairline.models import TableModel

Exchange_ = Annotated[str | None, typer.Option("--exchange", metavar="NAME|URL", help="production, demo or a URL.")]
Profile = Annotated[str | None, typer.Option(metavar="NAME", help="A profile of fairline.toml.")]
KeyId = Annotated[str | None, typer.Option("--key-id", help="API key id. Market data needs none.")]
KeyFile = Annotated[
    str | None,
    typer.Option(
        "--key-file", metavar="PATH", help="Private key, PEM; - is standard input, keyring:NAME one that was imported."
    ),
]
Scheme = Annotated[
    str | None,
    typer.Option("--auth", help="api-key, or jwt: an article's scheme that today's exchange does not accept."),
]
MemberId = Annotated[str | None, typer.Option("--member-id", help="For --auth jwt only.")]
Probabilities = Annotated[
    list[Path] | None, typer.Option(metavar="FILE", help="CSV or Parquet with ticker,p[,p_sd]. Repeatable.")
]
ModelNames = Annotated[
    list[str] | None,
    typer.Option("--model", metavar="NAME", help="An installed model (see: fairline models). Repeatable."),
]
MinEdge = Annotated[float, typer.Option(help="Points of probability above the price.")]
MinEv = Annotated[float, typer.Option(help="Dollars a contract, after the fee.")]
MaxSpread = Annotated[float, typer.Option(help="Percent of the midpoint.")]
Size = Annotated[int, typer.Option(help="Contracts wanted; fees are those of an order of this size.")]
Category = Annotated[
    list[str] | None, typer.Option(metavar="NAME", help="Only this category, in any case. Repeatable.")
]
SeriesOption = Annotated[
    list[str] | None, typer.Option("--series", metavar="TICKER", help="Only this series ticker. Repeatable.")
]
EventOption = Annotated[
    list[str] | None, typer.Option("--event", metavar="TICKER", help="Only this event ticker. Repeatable.")
]
Status = Annotated[str, typer.Option(help="unopened, open, paused, closed or settled.")]
ClosesWithin = Annotated[str | None, typer.Option(metavar="SPAN", help="Such as 90m, 12h, 7d, 4w.")]
MinVolume = Annotated[float, typer.Option(min=0, help="Contracts traded so far.")]
Search = Annotated[str, typer.Option(help="Text in the ticker, question or outcome.")]
Form = Annotated[
    str | None, typer.Option("--format", help=f"{', '.join(report.FORMATS)}. By --output's name if absent.")
]
Output = Annotated[Path | None, typer.Option(metavar="PATH", help="Write here, whole or not at all.")]
Top = Annotated[int | None, typer.Option(min=1, help="At most this many rows.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]


def filters_of(
    category: list[str] | None,
    series: list[str] | None,
    event: list[str] | None,
    status: str,
    closes_within: str | None,
    min_volume: float,
    search: str,
) -> Filters:
    statuses = ("unopened", "open", "paused", "closed", "settled")
    if status not in statuses:
        raise UsageError(f"there is no status {status!r}", remedy=f"--status takes {', '.join(statuses)}")
    return Filters(
        status=status,
        categories=tuple(category or ()),
        series=tuple(name.upper() for name in series or ()),
        events=tuple(name.upper() for name in event or ()),
        closes_within=span(closes_within),
        min_volume=min_volume,
        search=search,
    )


def span(text: str | None) -> timedelta | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([mhdw])", text.strip().lower())
    if match is None:
        raise UsageError(
            f"{text!r} is not a span of time", remedy="--closes-within takes spans such as 90m, 12h, 7d, 4w"
        )
    hours = float(match[1]) * {"m": 1 / 60, "h": 1, "d": 24, "w": 168}[match[2]]
    if hours > 24 * 36_525:
        raise UsageError(f"{text!r} is longer than a century", remedy="--closes-within takes spans such as 7d")
    return timedelta(hours=hours)


def table_model(path: Path) -> TableModel:
    """A probabilities file, looked at before the exchange is asked anything."""
    if not path.is_file():
        fault = "is not a regular file" if path.exists() else "does not exist"
        raise UsageError(f"the probabilities file {path} {fault}", remedy="Check --probabilities")
    made = TableModel(path)
    try:
        made.check(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})", remedy="Check its permissions") from None
    return made
