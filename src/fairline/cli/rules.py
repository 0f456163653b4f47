"""`coherence`: quotes that break a rule of the exchange, and what holding them to it would bring."""

from typing import Annotated

import polars as pl
import typer

from fairline.cli.options import (
    AsJson,
    Category,
    ClosesWithin,
    EventOption,
    Exchange_,
    Fresh,
    MaxAge,
    NoBooks,
    Profile,
    SeriesOption,
    Top,
    ages_of,
    filters_of,
)
from fairline.cli.terminal import ask, deliver, settings_of
from fairline.config.connect import memory_of
from fairline.kalshi import Kalshi
from fairline.market.listing import Listing, Progress, read_listing
from fairline.output import tables, terminal
from fairline.output.files import show
from fairline.scanner import find_violations

commands = typer.Typer()


@commands.command(epilog="Example: fairline coherence --category crypto --json")
def coherence(
    category: Category = None,
    series: SeriesOption = None,
    event: EventOption = None,
    closes_within: ClosesWithin = None,
    everything: Annotated[bool, typer.Option("--all", help="Those too that fees eat.")] = False,
    no_books: NoBooks = False,
    top: Top = None,
    as_json: AsJson = False,
    max_age: MaxAge = "2m",
    fresh: Fresh = False,
    exchange: Exchange_ = None,
    profile: Profile = None,
) -> None:
    """List quotes that break a rule, priced with fees on every leg: what is locked, and what needs an assumption."""
    filters = filters_of(category, series, event, "open", closes_within, 0, "")
    settings = settings_of(exchange=exchange, profile=profile)
    memory, ages = memory_of(settings), ages_of(max_age, fresh=fresh)

    async def read(kalshi: Kalshi, progress: Progress | None) -> tuple[Listing, pl.DataFrame]:
        listing = await read_listing(kalshi, filters, progress=progress, memory=memory, ages=ages)
        return await find_violations(kalshi, listing, books=not no_books)

    listing, found = ask(settings, None, read, memory=memory, ages=ages, max_age=max_age)
    shown = found if everything else found.filter(found["profit_u"] > 0)
    if as_json:
        deliver(tables.encode_json(tables.coherence_document(listing, shown.head(top) if top else shown)), None)
    else:
        show(terminal.coherence_report(listing, found, shown.head(top or 20)))
    raise typer.Exit(0 if listing.complete else 3)
