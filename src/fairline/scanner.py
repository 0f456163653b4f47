"""The scan: fetch, then `evaluate`, which is pure and which everything else calls too."""

import contextlib
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import polars as pl

from fairline.errors import FairlineError, InputError, UsageError
from fairline.kalshi import Kalshi
from fairline.kalshi.books import Books, read_books
from fairline.kalshi.memory import Memory
from fairline.market.books import levels, quotes, with_quotes
from fairline.market.fees import CAUTIOUS, COEFFICIENTS, Policy, coefficient, multiplier_at
from fairline.market.frame import PREDICTIONS
from fairline.market.listing import Ages, Filters, Listing, Problem, Progress, Step, read_listing, read_market
from fairline.models import Model, usable
from fairline.pricing.coherence import violations
from fairline.pricing.edge import KEPT, Rules, edges, funnel, nearest_misses
from fairline.pricing.ladder import deepened, depth, offers
from fairline.pricing.sizing import Bankroll, sized
from fairline.sources import Payload, Request, Sources, fetch


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Every market, side and model with its edge and its bin; the funnel; what did not work.

    `advice` is about the opportunities, by ticker, side and model: what an order gets of the book, if books were read,
    and how much to risk, if there is a bankroll. What is not known is not among its columns.
    """

    edges: pl.DataFrame
    funnel: list[Step]
    nearest_misses: pl.DataFrame
    problems: list[Problem]
    advice: pl.DataFrame | None = None

    @property
    def opportunities(self) -> pl.DataFrame:
        return self.edges.filter(pl.col("bin") == KEPT)


def evaluate(
    markets: pl.DataFrame,
    models: Sequence[Model],
    payloads: Mapping[Request, Payload | FairlineError],
    *,
    asof: datetime,
    fees: Policy = CAUTIOUS,
    rules: Rules | None = None,
    strict: bool = False,
    misses: int = 5,
) -> Evaluation:
    """Price `markets` (MARKETS with probability columns) by every model, as of an instant.

    Pure: the same arguments give the same answer. A failing model becomes a problem with its traceback and the others
    go on; with `strict` it raises instead.
    """
    predictions, problems = predict(markets, models, payloads, asof=asof, strict=strict)
    return price(markets, predictions, problems, asof=asof, fees=fees, rules=rules, misses=misses)


def predict(
    markets: pl.DataFrame,
    models: Sequence[Model],
    payloads: Mapping[Request, Payload | FairlineError],
    *,
    asof: datetime,
    asked: datetime | None = None,
    strict: bool = False,
) -> tuple[pl.DataFrame, list[Problem]]:
    """What the models say of these markets, as PREDICTIONS without notes, and what went wrong. `asked` is the instant
    at which the payloads were asked for, if that is another: a request may depend on it.
    """
    names = [model.name for model in models]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise UsageError(f"two models are called {min(twice)}", remedy="Give each a name of its own")
    predictions, problems = [PREDICTIONS.to_frame()], _unknown_fees(markets)
    for model in models:
        try:
            made, notes = _predict(model, markets, payloads, asof, asked or asof)
        except (Exception, SystemExit) as error:  # a model is anybody's code; the scan of the others must go on
            if strict:
                raise
            ours = isinstance(error, FairlineError)
            message = str(error) if ours else f"{type(error).__name__}: {error}"
            problems.append(Problem(model.name, message, "" if ours else traceback.format_exc(), silent=True))
            continue
        predictions.append(made)
        problems += notes
    return pl.concat(predictions).drop("note"), problems


def price(
    markets: pl.DataFrame,
    predictions: pl.DataFrame,
    problems: list[Problem],
    *,
    asof: datetime,
    fees: Policy = CAUTIOUS,
    rules: Rules | None = None,
    misses: int = 5,
) -> Evaluation:
    """The edges of predictions at the markets' quotes."""
    rules = rules or Rules()
    edged = edges(markets, predictions, asof=asof, rules=rules, policy=fees)
    return Evaluation(edged, funnel(edged, rules), nearest_misses(edged, rules, misses), problems)


async def scan(
    kalshi: Kalshi,
    models: Sequence[Model],
    filters: Filters | None = None,
    rules: Rules | None = None,
    *,
    fees: Policy = CAUTIOUS,
    misses: int = 5,
    progress: Progress | None = None,
    memory: Memory | None = None,
    ages: Ages | None = None,
    books: bool = True,
    bankroll: Bankroll | None = None,
    sources: Sources | None = None,
) -> tuple[Listing, Evaluation]:
    """Fetch, then evaluate: the whole of a scan.

    What survives is looked at again by its order book, which is as of now, while the quotes of a listing may have been
    kept by the exchange's front for 15 seconds; not with `books` off. Models' inputs come from the `sources`, which
    also keep them from scan to scan by their declared age.
    """
    rules = rules or Rules()
    listing = await read_listing(kalshi, filters, progress=progress, memory=memory, ages=ages)
    asked = datetime.now(UTC)
    payloads = await fetch(_requests(models, listing.markets, asked), sources)
    asof = datetime.now(UTC)
    predictions, problems = predict(listing.markets, models, payloads, asof=asof, asked=asked)
    at: dict[str, Any] = {"asof": asof, "fees": fees, "rules": rules, "misses": misses}
    made = price(listing.markets, predictions, problems, **at)
    offered = offers(levels([]))
    if books and made.opportunities.height:
        read = await read_books(kalshi, made.opportunities["ticker"].unique(maintain_order=True).to_list())
        listing, offered = _confirmed(kalshi, listing, read), offers(levels(read.rows))
        if listing.moved:
            # Models look at prices too, and at those of other markets: what they said of the old ones is void.
            predictions, problems = predict(listing.markets, models, payloads, asof=asof, asked=asked)
        made = price(listing.markets, predictions, problems, **at)
    advice = made.opportunities.select("ticker", "side", "model")
    if books and not rules.rest:
        advice = advice.join(depth(made.opportunities, offered, rules.size, fees), on=advice.columns, how="left")
    if bankroll is not None:
        advice = advice.join(
            sized(made.edges.filter(~pl.col("suspect").fill_null(value=False)), listing.markets, bankroll, fees),
            on=["ticker", "side", "model"],
            how="left",
        )
    return listing, replace(made, problems=_without_filtered(made.problems, listing), advice=advice)


def full_funnel(listing: Listing, evaluation: Evaluation) -> list[dict[str, object]]:
    """From everything that the exchange listed to what is left: unreadable rows, filters, then the thresholds."""
    first: dict[str, object] = {"step": "listed and readable", "kept": listing.listed, "dropped": listing.unreadable}
    total = max(1, listing.listed + listing.unreadable)
    rows = [first, *listing.funnel, *evaluation.funnel]
    return [row | {"share": round(float(str(row["dropped"])) / total, 6)} for row in rows]


def _confirmed(kalshi: Kalshi, listing: Listing, read: Books) -> Listing:
    """The listing with the candidates' quotes by their order books, as far as those could be read."""
    markets, moved = with_quotes(listing.markets, quotes(read.rows))
    problems = [Problem("books", str(rejected), ticker=rejected.ticker) for rejected in read.rejected]
    if read.unasked:
        words = f"{read.unasked} of the candidates' books could not be read ({read.reason})"
        problems.append(Problem("books", f"{words}: their quotes are the listing's"))
    kept = [*listing.problems, *problems]
    traffic = kalshi.transport.traffic
    return replace(
        listing, markets=markets, problems=kept, books=len(read.rows), moved=moved, requests=traffic.requests,
        retries=traffic.retries, bytes=traffic.bytes,
    )  # fmt: skip


async def rules_broken(
    kalshi: Kalshi, listing: Listing, *, books: bool = True, fees: Policy = CAUTIOUS
) -> tuple[Listing, pl.DataFrame]:
    """Quotes that break a rule (`coherence.violations`), with `books` those of the legs that seemed worth it read and
    walked: what is broken no more by then is left out.
    """
    asof = datetime.now(UTC)
    found = violations(listing.markets, asof=asof, policy=fees)
    worth = found.filter(pl.col("profit_u") > 0)
    if not books or worth.is_empty():
        return listing, found
    tickers = worth["legs"].explode().struct.field("ticker").unique(maintain_order=True).to_list()
    read = await read_books(kalshi, tickers)
    listing = _confirmed(kalshi, listing, read)
    again = violations(listing.markets, asof=asof, policy=fees)
    terms = listing.markets.select("ticker", rate=coefficient(pl.col("fee_type")), multiplier_m=multiplier_at(asof))
    seen = {book.ticker for book in read.rows}
    mine = pl.col("legs").list.eval(pl.element().struct.field("ticker").is_in(list(seen))).list.all()
    walked = deepened(again.filter(mine), offers(levels(read.rows)), terms, policy=fees)
    return listing, pl.concat([walked, again.filter(~mine)]).sort("profit_u", descending=True, maintain_order=True)


async def scan_market(
    kalshi: Kalshi,
    ticker: str,
    models: Sequence[Model],
    rules: Rules | None = None,
    *,
    fees: Policy = CAUTIOUS,
    sources: Sources | None = None,
) -> Evaluation:
    """One market through the same evaluation, whatever becomes of it."""
    markets = await read_market(kalshi, ticker)
    asked = datetime.now(UTC)
    payloads = await fetch(_requests(models, markets, asked), sources)
    asof = datetime.now(UTC)
    predictions, problems = predict(markets, models, payloads, asof=asof, asked=asked)
    return price(markets, predictions, problems, asof=asof, fees=fees, rules=rules)


def _without_filtered(problems: list[Problem], listing: Listing) -> list[Problem]:
    """Lines about markets that the filters left out are no fault of the file: one line counts them. If the exchange was
    asked for some markets only, that is all markets but these.
    """
    kept_tickers, listed = set(listing.markets["ticker"]), set(listing.tickers)

    def hidden(ticker: str) -> bool:
        return bool(ticker) and ticker not in kept_tickers and (listing.narrowed or ticker in listed)

    kept = [problem for problem in problems if not hidden(problem.ticker)]
    if len(kept) == len(problems):
        return problems
    gone = len(problems) - len(kept)
    doubt = " or that do not exist" if listing.narrowed else ""
    return [*kept, Problem("filters", f"{gone:,} lines are about markets that the filters left out{doubt}")]


def _unknown_fees(markets: pl.DataFrame) -> list[Problem]:
    """A problem for each fee type that this version does not know."""
    unknown = markets.filter(pl.col("fee_type").is_not_null() & ~pl.col("fee_type").is_in(list(COEFFICIENTS)))
    return [
        Problem("fees", f"fee type {name!r} of {count:,} markets is not known; the taker's usual fee is assumed")
        for name, count in unknown.group_by("fee_type").len().sort("fee_type").iter_rows()
    ]


def _requests(models: Sequence[Model], markets: pl.DataFrame, asof: datetime) -> list[Request]:
    """What the models want to read. A model that fails here fails again in `evaluate`, which reports it."""
    wanted: list[Request] = []
    for model in models:
        with contextlib.suppress(Exception, SystemExit):
            covered = markets.filter(model.covers(markets))
            wanted += model.requests(covered, asof) if covered.height else []
    return wanted


class _Given(dict[Request, Payload]):
    """A model's payloads. To ask for one that could not be read raises why: who can do without it catches that."""

    def __init__(self) -> None:
        super().__init__()
        self.failed: dict[Request, FairlineError] = {}
        self.missed: set[Request] = set()

    def __missing__(self, request: Request) -> Payload:
        self.missed.add(request)
        raise self.failed.get(request) or KeyError(request.shown)

    def unsaid(self) -> list[str]:
        """What failed and the model did not come upon, so that nobody was told of it."""
        return [error.message for request, error in self.failed.items() if request not in self.missed]


def _predict(
    model: Model,
    markets: pl.DataFrame,
    payloads: Mapping[Request, Payload | FairlineError],
    asof: datetime,
    asked: datetime,
) -> tuple[pl.DataFrame, list[Problem]]:
    """A model's usable predictions in PREDICTIONS columns, and a problem for each that is not usable."""
    covered = markets.filter(model.covers(markets))
    mine = _Given()
    if covered.is_empty():
        return PREDICTIONS.to_frame(), []
    for request in model.requests(covered, asked):
        payload = payloads.get(request)
        if payload is None:
            raise InputError(f"no payload for {request.source} {request.shown}", remedy="Fetch what the model requests")
        if isinstance(payload, FairlineError):
            mine.failed[request] = payload
        else:
            mine[request] = payload
    made = model.predict(covered, mine, asof)
    sound, faulty = usable(made)
    problems = [Problem(model.name, text, ticker=ticker or "") for ticker, text in faulty.iter_rows()]
    problems += [Problem(model.name, words) for words in mine.unsaid()]
    return sound, problems
