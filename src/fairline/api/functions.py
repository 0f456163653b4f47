"""The functions of the library. Each has an `_async` version; the plain one also works inside a running event loop."""

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fairline.api.account import account_fees, use_account
from fairline.api.beliefs import load_beliefs
from fairline.api.default_models import default_models
from fairline.api.keywords import build_request, document_keywords
from fairline.api.reports import CoherenceReport, ExplainReport, MarketsReport, ScanReport
from fairline.api.requests import CoherenceRequest, ExplainRequest, MarketsRequest, ScanRequest
from fairline.api.running import run_sync
from fairline.api.session import (
    Hooks,
    ages,
    bankroll,
    exact_filters,
    load_models,
    open_session,
    record_inputs,
    sources,
)
from fairline.market.listing import read_listing
from fairline.market.tickers import parse_market_ticker
from fairline.models import Model
from fairline.scanner import ScanOptions, explain_market, find_violations, run_scan

_MODELS = inspect.Parameter("models", inspect.Parameter.VAR_POSITIONAL)
_TICKER = inspect.Parameter("ticker", inspect.Parameter.POSITIONAL_ONLY)
AnyModel = str | Path | Model


async def run_scan_request(models: Sequence[AnyModel], request: ScanRequest, hooks: Hooks) -> ScanReport:
    """Scan with the options of a request: what `scan` and the command do."""
    session, inputs = open_session(request.connection, request.credentials, hooks), sources(request.inputs)
    exchange = session.settings.environment
    loaded = load_models(models or default_models(exchange), request.inputs, exchange)
    options = ScanOptions(
        exact_filters(request.filters),
        request.rules,
        books=request.books.books,
        bankroll=bankroll(request.sizing),
        ages=ages(request.crawl),
        beliefs=load_beliefs(session.settings, request.inputs.trust, hooks.notify),
        fees=account_fees(session.settings, hooks.notify),
    )
    async with session.kalshi() as kalshi:
        if request.account.holdings:
            options = await use_account(kalshi, session, options, request.sizing)
        result = await run_scan(kalshi, loaded, options, sources=inputs, memory=session.memory, progress=hooks.progress)
    record_inputs(request.inputs.record, result.evaluation.inputs, exchange)
    return ScanReport(result, request.rules, tuple(model.name for model in loaded))


async def run_markets_request(request: MarketsRequest, hooks: Hooks) -> MarketsReport:
    """List markets with the options of a request: what `markets` and the command do."""
    session = open_session(request.connection, request.credentials, hooks)
    async with session.kalshi() as kalshi:
        listing = await read_listing(
            kalshi,
            exact_filters(request.filters),
            progress=hooks.progress,
            memory=session.memory,
            ages=ages(request.crawl),
        )
    return MarketsReport(listing)


async def run_explain_request(
    ticker: str, models: Sequence[AnyModel], request: ExplainRequest, hooks: Hooks
) -> ExplainReport:
    """Explain a market with the options of a request: what `explain` and the command do."""
    ticker = parse_market_ticker(ticker)
    session, inputs = open_session(request.connection, request.credentials, hooks), sources(request.inputs)
    exchange = session.settings.environment
    loaded = load_models(models, request.inputs, exchange)
    beliefs = load_beliefs(session.settings, request.inputs.trust, hooks.notify)
    fees = account_fees(session.settings, hooks.notify)
    options = ScanOptions(rules=request.rules, beliefs=beliefs, fees=fees)
    async with session.kalshi() as kalshi:
        evaluation = await explain_market(kalshi, ticker, loaded, options, sources=inputs)
    record_inputs(request.inputs.record, evaluation.inputs, exchange)
    return ExplainReport.from_evaluation(ticker, evaluation)


async def run_coherence_request(request: CoherenceRequest, hooks: Hooks) -> CoherenceReport:
    """Search for contradicting quotes with the options of a request: what `coherence` and the command do."""
    session = open_session(request.connection, request.credentials, hooks)
    async with session.kalshi() as kalshi:
        listing = await read_listing(
            kalshi,
            exact_filters(request.filters),
            progress=hooks.progress,
            memory=session.memory,
            ages=ages(request.crawl),
        )
        listing, violations = await find_violations(
            kalshi, listing, books=request.books.books, fees=account_fees(session.settings, hooks.notify)
        )
    return CoherenceReport(listing, violations)


@document_keywords(ScanRequest, _MODELS)
async def scan_async(*models: AnyModel, progress: Callable[[int], None] | None = None, **options: Any) -> ScanReport:
    """Price every market with the models and rank what is mispriced after fees. See `scan`."""
    return await run_scan_request(models, build_request(ScanRequest, "scan", options), Hooks(progress))


@document_keywords(ScanRequest, _MODELS)
def scan(*models: AnyModel, **options: Any) -> ScanReport:
    """Price every market with the models and rank what is mispriced after fees.

    A model is a name (`"elo"`), a CSV or Parquet file of probabilities (`"mine.csv"`), `"path/to/file.py:Name"`, or an
    object with the methods of `fairline.models.Model`. Without one, the built-in models that need no key are used.
    Options are those of the command `fairline scan`, with
    underscores. Raises `FairlineError` or `fairline.kalshi.KalshiError`.
    """
    return run_sync(scan_async(*models, **options))


@document_keywords(MarketsRequest)
async def markets_async(*, progress: Callable[[int], None] | None = None, **options: Any) -> MarketsReport:
    """List every market with the probabilities its prices imply. See `markets`."""
    return await run_markets_request(build_request(MarketsRequest, "markets", options), Hooks(progress))


@document_keywords(MarketsRequest)
def markets(**options: Any) -> MarketsReport:
    """List every market with the probabilities its prices imply. No model needed.

    Options are those of the command `fairline markets`, with underscores.
    """
    return run_sync(markets_async(**options))


@document_keywords(ExplainRequest, _TICKER, _MODELS)
async def explain_async(ticker: str, /, *models: AnyModel, **options: Any) -> ExplainReport:
    """Show how one market fares in each step of a scan. See `explain`."""
    return await run_explain_request(ticker, models, build_request(ExplainRequest, "explain", options), Hooks())


@document_keywords(ExplainRequest, _TICKER, _MODELS)
def explain(ticker: str, /, *models: AnyModel, **options: Any) -> ExplainReport:
    """Show how one market fares in each step of a scan, with its numbers.

    Models and options are those of `scan`.
    """
    return run_sync(explain_async(ticker, *models, **options))


@document_keywords(CoherenceRequest)
async def coherence_async(*, progress: Callable[[int], None] | None = None, **options: Any) -> CoherenceReport:
    """List quotes that contradict each other. See `coherence`."""
    return await run_coherence_request(build_request(CoherenceRequest, "coherence", options), Hooks(progress))


@document_keywords(CoherenceRequest)
def coherence(**options: Any) -> CoherenceReport:
    """List quotes that contradict each other, priced with fees on every leg.

    Options are those of the command `fairline coherence`, with underscores.
    """
    return run_sync(coherence_async(**options))
