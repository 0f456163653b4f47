"""The options that several commands share, and what their texts mean."""

from pathlib import Path
from typing import Annotated, cast

import typer

from fairline.errors import InputError, UsageError
from fairline.kalshi.client import check_ticker
from fairline.market.filters import Filters
from fairline.market.filters import Status as MarketStatus
from fairline.market.listing import Ages
from fairline.models import TableModel
from fairline.output.files import FORMATS
from fairline.pricing.sizing import Bankroll
from fairline.text import parse_duration

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
    typer.Option("--model", metavar="NAME", help="An installed model, or path/to/file.py:Name. Repeatable."),
]
MinEdge = Annotated[float, typer.Option(help="Points of probability above the price.")]
MinEv = Annotated[float, typer.Option(help="Dollars a contract, after the fee.")]
MaxSpread = Annotated[float, typer.Option(help="Percent of the midpoint.")]
Size = Annotated[int, typer.Option(help="Contracts wanted; fees are those of an order of this size.")]
MinContracts = Annotated[float, typer.Option(help="Contracts on offer at the best price.")]
Suspect = Annotated[float, typer.Option(help="Points of edge above which a bug is likelier than a bargain.")]
Rest = Annotated[
    bool, typer.Option("--rest", help="Join the best bid at the maker's fee instead of taking the offer; EV if filled.")
]
BankrollOption = Annotated[
    float | None,
    typer.Option("--bankroll", metavar="DOLLARS", help="Say how many contracts to buy of it. Advice only."),
]
KellyOption = Annotated[float, typer.Option("--kelly", help="The share of Kelly's to risk; 0.25 is a quarter.")]
Caps = Annotated[
    str, typer.Option(metavar="MARKET,EVENT,SERIES,DAY", help="The most of the bankroll at risk on each, in percent.")
]
Category = Annotated[
    list[str] | None, typer.Option(metavar="NAME", help="Only this category, in any case. Repeatable.")
]
SeriesOption = Annotated[
    list[str] | None, typer.Option("--series", metavar="TICKER", help="Only this series ticker. Repeatable.")
]
EventOption = Annotated[
    list[str] | None, typer.Option("--event", metavar="TICKER", help="Only this event ticker. Repeatable.")
]
TickerOption = Annotated[
    list[str] | None,
    typer.Option("--ticker", metavar="TICKER", help="Only this market, if it is open. Repeatable."),
]
Plan = Annotated[bool, typer.Option("--plan", help="Print the requests that would be made and why, and make none.")]
MaxAge = Annotated[
    str, typer.Option(metavar="SPAN", help="Go on with a crawl that was cut short, if it began no longer ago.")
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Use nothing kept from earlier runs.")]
Offline = Annotated[
    bool,
    typer.Option("--offline", help="Models use inputs that were read before, however old."),
]
Record = Annotated[
    Path | None, typer.Option("--record", metavar="FOLDER", help="Keep every input that a model used, to be replayed.")
]
NoBooks = Annotated[bool, typer.Option("--no-books", help="Do not read the order books of what survives.")]
Status = Annotated[str, typer.Option(help="unopened, open, paused, closed or settled.")]
ClosesWithin = Annotated[str | None, typer.Option(metavar="SPAN", help="Such as 90m, 12h, 7d, 4w.")]
MinVolume = Annotated[float, typer.Option(min=0, help="Contracts traded so far.")]
Search = Annotated[str, typer.Option(help="Text in the ticker, question or outcome.")]
Form = Annotated[str | None, typer.Option("--format", help=f"{', '.join(FORMATS)}. By --output's name if absent.")]
Output = Annotated[Path | None, typer.Option(metavar="PATH", help="Write here, whole or not at all.")]
StoreFolder = Annotated[Path | None, typer.Option("--store", metavar="PATH", help="Where a watch keeps what it saw.")]
Top = Annotated[int | None, typer.Option(min=1, help="At most this many rows.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]


_MOST_DOLLARS = 1e9


def filters_of(
    category: list[str] | None,
    series: list[str] | None,
    event: list[str] | None,
    status: str,
    closes_within: str | None,
    min_volume: float,
    search: str,
    ticker: list[str] | None = None,
) -> Filters:
    return Filters(
        status=cast(MarketStatus, status),  # Filters checks it
        categories=tuple(category or ()),
        series=tuple(name.upper() for name in series or ()),
        events=tuple(name.upper() for name in event or ()),
        tickers=tuple(check_ticker(name.strip().upper()) for name in ticker or ()),
        closes_within=None if closes_within is None else parse_duration(closes_within, field="closes_within"),
        min_volume=min_volume,
        search=search,
    )


def bankroll_of(dollars: float | None, kelly: float, caps: str) -> Bankroll | None:
    try:
        market, event, series, day = (float(part) / 100 for part in caps.split(","))
    except ValueError:
        raise UsageError(f"{caps!r} are not four caps", remedy="Such as --caps 5,10,25,50, in percent") from None
    if dollars is None:
        return None
    if not 0 < dollars <= _MOST_DOLLARS:
        raise UsageError("the value of --bankroll is impossible", remedy="It takes dollars above 0, at most a billion")
    return Bankroll(round(dollars * 1_000_000), kelly, market, event, series, day)


def ages_of(max_age: str, *, fresh: bool) -> Ages:
    age = parse_duration(max_age, field="max_age").total_seconds()
    return Ages(facts_s=0, crawl_s=0) if fresh else Ages(crawl_s=age)


def tables_of(paths: list[Path] | None) -> list[TableModel]:
    """A model for each file; those of one name go by their whole path."""
    made = [table_model(path) for path in dict.fromkeys(paths or [])]
    names = [model.name for model in made]
    for model in made:
        if names.count(model.name) > 1:
            model.name = str(model.path)
    return made


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
