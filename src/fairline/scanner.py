"""The scan: fetch, then evaluate. `price` and `evaluate` are pure; every other part calls them too."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import polars as pl

from fairline.kalshi import Kalshi
from fairline.kalshi.cache import ExchangeCache
from fairline.market.books import LEVELS, levels
from fairline.market.fees import CAUTIOUS, Policy, coefficient, multiplier_at
from fairline.market.filters import Filters
from fairline.market.funnel import FunnelStep, with_shares
from fairline.market.listing import Ages, Listing, Progress, read_listing, read_market
from fairline.market.problem import Problem
from fairline.market.requote import requote
from fairline.models import Model
from fairline.models.prediction import model_requests, predict
from fairline.pricing.belief import Beliefs
from fairline.pricing.coherence import violations
from fairline.pricing.depth import fill_opportunities, offers, size_violations
from fairline.pricing.edge import attach_markets, sort_opportunities, value_markets
from fairline.pricing.funnel import SideExplanation, explain_rows, funnel, nearest_misses
from fairline.pricing.holdings import Holdings, exposure, mark_held
from fairline.pricing.records import shipped_records
from fairline.pricing.rules import Rules
from fairline.pricing.sizing import Bankroll, size_bets
from fairline.pricing.steps import KEPT_BIN, UNPROVEN_BIN
from fairline.sources import Sources, fetch
from fairline.sources.inputs import Payloads, ScanInputs

_BET = ["ticker", "side", "model"]
UNPROVEN_BOOKS = 15
"""Unproven rows whose order books are read too: as many as are shown."""


def default_beliefs() -> Beliefs:
    """Return the shipped records, with full trust in a user's own models."""
    return Beliefs(records=shipped_records())


@dataclass(frozen=True, slots=True)
class ScanOptions:
    """What to scan and how.

    `books` rereads the order books of what survives: they are current, while the quotes of a listing may have been
    cached by the exchange for 15 seconds. `bankroll` adds position sizes. `misses` is the number of nearest misses per
    threshold. `ages` limits how old reused answers may be. `beliefs` says how much of each model's disagreement with
    the price to believe. `holdings` are marked beside the opportunities and count towards the caps of the bankroll.
    """

    filters: Filters = field(default_factory=Filters)
    rules: Rules = field(default_factory=Rules)
    fees: Policy = CAUTIOUS
    books: bool = True
    bankroll: Bankroll | None = None
    ages: Ages = field(default_factory=Ages)
    misses: int = 5
    beliefs: Beliefs = field(default_factory=default_beliefs)
    holdings: Holdings | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """EDGES of every market, side and model; the funnel; the nearest misses; what did not work.

    `advice` has a row per believed and leading unproven opportunity, keyed by ticker, side and model: what an order
    gets in the order book, if books were read, and how much to risk, if there is a bankroll. Columns that were not
    computed are absent.
    """

    rows: pl.DataFrame
    markets: pl.DataFrame
    funnel: list[FunnelStep]
    nearest_misses: pl.DataFrame
    problems: list[Problem]
    advice: pl.DataFrame | None = None
    rules: Rules = field(default_factory=Rules)
    beliefs: Beliefs = field(default_factory=default_beliefs)
    inputs: ScanInputs | None = None

    @property
    def edges(self) -> pl.DataFrame:
        """EDGES with the columns of their markets, copied on each access; `rows` has them without."""
        return attach_markets(self.rows, self.markets)

    def select(self, predicate: pl.Expr) -> pl.DataFrame:
        """Return the EDGES that satisfy a predicate on `rows`, with the columns of their markets."""
        return attach_markets(self.rows.filter(predicate), self.markets)

    @property
    def opportunities(self) -> pl.DataFrame:
        """The believed opportunities, best first."""
        return self.select(pl.col("bin") == KEPT_BIN)

    @property
    def unproven(self) -> pl.DataFrame:
        """Rows that pass the thresholds on the raw numbers but that no record supports, by the model's own EV."""
        return sort_opportunities(self.select(pl.col("bin") == UNPROVEN_BIN), self.rules, raw=True)

    def explain(self, ticker: str) -> list[SideExplanation]:
        """Return what every step did with a market, for each side and model; empty if it was not evaluated."""
        return explain_rows(self.select(pl.col("ticker") == ticker), self.rules)


@dataclass(frozen=True, slots=True)
class ScanResult:
    """A scan: what the exchange listed and what it is worth; `depth` has the LEVELS of the order books that were read.

    A book without levels is one row of `depth` without side, price and size.
    """

    listing: Listing
    evaluation: Evaluation
    depth: pl.DataFrame = field(default_factory=LEVELS.to_frame)

    @property
    def complete(self) -> bool:
        return self.listing.complete

    @property
    def problems(self) -> list[Problem]:
        return [*self.listing.problems, *self.evaluation.problems]

    @property
    def opportunities(self) -> pl.DataFrame:
        return self.evaluation.opportunities

    @property
    def funnel(self) -> list[FunnelStep]:
        return full_funnel(self.listing, self.evaluation)


def evaluate(
    markets: pl.DataFrame,
    models: Sequence[Model],
    payloads: Payloads,
    *,
    asof: datetime,
    fees: Policy = CAUTIOUS,
    rules: Rules | None = None,
    beliefs: Beliefs | None = None,
    strict: bool = False,
    misses: int = 5,
) -> Evaluation:
    """Price `markets` (MARKETS with probability columns) with every model, as of an instant.

    Pure: the same arguments give the same result. `beliefs` defaults to the shipped records. A failing model becomes a
    problem with its traceback and the other models still run; with `strict` its error is raised.
    """
    predictions, problems = predict(markets, models, payloads, asof=asof, strict=strict)
    return price(markets, predictions, problems, asof=asof, fees=fees, rules=rules, beliefs=beliefs, misses=misses)


def price(
    markets: pl.DataFrame,
    predictions: pl.DataFrame,
    problems: list[Problem],
    *,
    asof: datetime,
    fees: Policy = CAUTIOUS,
    rules: Rules | None = None,
    beliefs: Beliefs | None = None,
    misses: int = 5,
) -> Evaluation:
    """Compare predictions with the quotes of the markets. `beliefs` defaults to the shipped records."""
    rules = rules or Rules()
    beliefs = beliefs or default_beliefs()
    rows = value_markets(markets, predictions, asof=asof, rules=rules, policy=fees, beliefs=beliefs)
    near = nearest_misses(rows, rules, misses, asof=asof, markets=markets)
    problems = [*problems, *_assumed_sizes(rows, rules)]
    return Evaluation(rows, markets, funnel(rows, rules), near, problems, rules=rules, beliefs=beliefs)


def _assumed_sizes(rows: pl.DataFrame, rules: Rules) -> list[Problem]:
    """Return a problem that counts the opportunities whose size was not recorded: the wanted size is assumed."""
    unknown = (pl.col("bin") == KEPT_BIN) & pl.col("price_u").is_not_null() & pl.col("offer_cc").is_null()
    count = 0 if rules.rest else rows.filter(unknown).height
    message = f"the size of {count:,} opportunities was not recorded; the wanted size is assumed to be on offer"
    return [Problem(message, stage="prices")] if count else []


async def run_scan(
    kalshi: Kalshi,
    models: Sequence[Model],
    options: ScanOptions | None = None,
    *,
    sources: Sources | None = None,
    memory: ExchangeCache | None = None,
    progress: Progress | None = None,
) -> ScanResult:
    """Read the markets and the models' inputs, then evaluate.

    `sources` reads the inputs and keeps them between scans for their declared age; `memory` keeps answers of the
    exchange. Raises like `read_listing`.
    """
    options = options or ScanOptions()
    listing = await read_listing(kalshi, options.filters, progress=progress, memory=memory, ages=options.ages)
    requested = datetime.now(UTC)
    payloads = await fetch(model_requests(models, listing.markets, requested), sources)
    asof = datetime.now(UTC) + kalshi.transport.replay_offset

    def evaluate_listing(current: Listing, predicted: tuple[pl.DataFrame, list[Problem]]) -> Evaluation:
        return price(
            current.markets,
            *predicted,
            asof=asof,
            fees=options.fees,
            rules=options.rules,
            beliefs=options.beliefs,
            misses=options.misses,
        )

    predicted = predict(listing.markets, models, payloads, asof=asof, requested=requested)
    evaluation = evaluate_listing(listing, predicted)
    depth = LEVELS.to_frame()
    candidates = pl.concat([evaluation.opportunities, evaluation.unproven.head(UNPROVEN_BOOKS)])
    if options.books and candidates.height:
        tickers = candidates["ticker"].unique(maintain_order=True).to_list()
        listing, books = await requote(kalshi, listing, tickers)
        depth = levels(books, keep_empty=True)
        if listing.moved:
            del evaluation, candidates  # the largest tables of a scan; the next ones need the room
            # Models may read prices, also of other markets: predictions from the old prices are void.
            predicted = predict(listing.markets, models, payloads, asof=asof, requested=requested)
            evaluation = evaluate_listing(listing, predicted)
    problems = _without_filtered(evaluation.problems, listing)
    advice = _advice(listing, evaluation, offers(depth.drop_nulls("price_u")), options)
    inputs = ScanInputs(payloads, requested, asof)
    return ScanResult(listing, replace(evaluation, problems=problems, advice=advice, inputs=inputs), depth)


def _advice(listing: Listing, evaluation: Evaluation, offered: pl.DataFrame, options: ScanOptions) -> pl.DataFrame:
    opportunities = pl.concat([evaluation.opportunities, evaluation.unproven.head(UNPROVEN_BOOKS)])
    advice = opportunities.select(_BET)
    if options.books and not options.rules.rest:
        fills = fill_opportunities(opportunities, offered, options.rules.size, options.fees)
        advice = advice.join(fills, on=_BET, how="left")
    if options.bankroll is not None:
        trusted = evaluation.select(~pl.col("suspect").fill_null(value=False))
        held = None if options.holdings is None else exposure(options.holdings, listing.markets)
        bets = size_bets(trusted, listing.markets, options.bankroll, options.fees, held)
        advice = advice.join(bets, on=_BET, how="left")
    if options.holdings is not None:
        advice = advice.join(mark_held(advice, options.holdings), on=_BET, how="left")
    return advice


def full_funnel(listing: Listing, evaluation: Evaluation) -> list[FunnelStep]:
    """Return the funnel from everything the exchange listed: unreadable rows, filters, thresholds."""
    first = FunnelStep("listed and readable", listing.listed, listing.unreadable)
    return with_shares([first, *listing.funnel, *evaluation.funnel], listing.listed + listing.unreadable)


async def find_violations(
    kalshi: Kalshi, listing: Listing, *, books: bool = True, fees: Policy = CAUTIOUS
) -> tuple[Listing, pl.DataFrame]:
    """Return quotes that break a rule (`coherence.violations`).

    With `books`, the order books of the profitable ones are read and every leg is walked through its book; what no
    longer breaks a rule by then is left out.
    """
    asof = datetime.now(UTC) + kalshi.transport.replay_offset
    violated = violations(listing.markets, asof=asof, policy=fees)
    profitable = violated.filter(pl.col("profit_u") > 0)
    if not books or profitable.is_empty():
        return listing, violated
    tickers = profitable["legs"].explode().struct.field("ticker").unique(maintain_order=True).to_list()
    listing, books_read = await requote(kalshi, listing, tickers)
    current = violations(listing.markets, asof=asof, policy=fees)
    terms = listing.markets.select("ticker", rate=coefficient(pl.col("fee_type")), multiplier_m=multiplier_at(asof))
    have_books = [book.ticker for book in books_read]
    complete = pl.col("legs").list.eval(pl.element().struct.field("ticker").is_in(have_books)).list.all()
    walked = size_violations(current.filter(complete), offers(levels(books_read)), terms, policy=fees)
    rest = current.filter(~complete)
    return listing, pl.concat([walked, rest]).sort("profit_u", descending=True, maintain_order=True)


async def explain_market(
    kalshi: Kalshi,
    ticker: str,
    models: Sequence[Model],
    options: ScanOptions | None = None,
    *,
    sources: Sources | None = None,
) -> Evaluation:
    """Evaluate one market whatever its status; `Evaluation.explain` then shows every step.

    Only `rules`, `fees`, `beliefs` and `misses` of the options matter. Raises like `read_market`.
    """
    options = options or ScanOptions()
    markets = await read_market(kalshi, ticker)
    requested = datetime.now(UTC)
    payloads = await fetch(model_requests(models, markets, requested), sources)
    asof = datetime.now(UTC) + kalshi.transport.replay_offset
    predictions, problems = predict(markets, models, payloads, asof=asof, requested=requested)
    evaluation = price(
        markets,
        predictions,
        problems,
        asof=asof,
        fees=options.fees,
        rules=options.rules,
        beliefs=options.beliefs,
        misses=options.misses,
    )
    return replace(evaluation, inputs=ScanInputs(payloads, requested, asof))


def _without_filtered(problems: list[Problem], listing: Listing) -> list[Problem]:
    """Replace problems of markets that the filters left out by one that counts them: the file is not at fault.

    If only some markets were requested, those are all other markets.
    """
    matching, listed = set(listing.markets["ticker"]), set(listing.tickers)

    def is_filtered(ticker: str) -> bool:
        return bool(ticker) and ticker not in matching and (listing.narrowed or ticker in listed)

    relevant = [problem for problem in problems if not is_filtered(problem.ticker)]
    if len(relevant) == len(problems):
        return problems
    count = len(problems) - len(relevant)
    or_unknown = " or that do not exist" if listing.narrowed else ""
    message = f"{count:,} lines are about markets that the filters left out{or_unknown}"
    return [*relevant, Problem(message, stage="filters")]
