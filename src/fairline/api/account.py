"""The library's view of an account: read it, evaluate it, and keep its history on request."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from fairline.api.account_report import PortfolioReport
from fairline.api.closing import read_closing_lines
from fairline.api.keywords import build_request, document_keywords
from fairline.api.options import AccountOptions, Sizing
from fairline.api.requests import PortfolioRequest
from fairline.api.running import run_sync
from fairline.api.session import Hooks, Session, bankroll, open_session
from fairline.config.connect import store_folder
from fairline.config.proven_fees import proven_policy, remember_policy
from fairline.config.settings import Settings
from fairline.errors import UsageError
from fairline.kalshi import Kalshi, KalshiError
from fairline.kalshi.portfolio import AccountRecords, read_account, read_account_state, read_fills
from fairline.market.fees import CAUTIOUS, POLICIES, Policy
from fairline.market.frame import empty_markets, markets_frame, with_context, with_probabilities
from fairline.market.history import settlements_frame
from fairline.market.problem import Problem
from fairline.positions.account import Account, attach_models, evaluate_account
from fairline.positions.archived import unlisted_markets
from fairline.positions.claims import match_claims, models_by_ticker
from fairline.positions.closing_line import closing_value
from fairline.positions.fee_fit import FeeFit, FeeTerms, fit_fees
from fairline.positions.held import holdings_of
from fairline.positions.records import parse_fill
from fairline.scanner import ScanOptions
from fairline.store.mirror import AccountMirror
from fairline.store.store import Store

SETTLING_S = 1.5
"""How long after a first reading that does not add up the account is read again, once."""
_CHUNK = 100
"""Tickers per request."""


async def run_portfolio_request(request: PortfolioRequest, hooks: Hooks) -> PortfolioReport:
    """Read and evaluate an account with the options of a request: what `portfolio` and the command do."""
    session = open_session(request.connection, request.credentials, hooks)
    options = request.account
    if not session.settings.has_key:
        raise UsageError("a portfolio needs an API key", field="key_id")
    if not 0 <= options.subaccount <= 63:
        raise UsageError("expected a number from 0 to 63", field="subaccount")
    mirror = _mirror(session.settings, options) if options.keep else None
    known = mirror.load() if mirror is not None else None
    asof = datetime.now(UTC)
    async with session.kalshi() as kalshi:
        records = await _read_records(kalshi, options, known)
        await _read_payouts(kalshi, records)
        if not _adds_up(records, asof):
            # Positions lag fills by about a second, and a settlement reaches the listings before the cash.
            await asyncio.sleep(SETTLING_S)
            records = await _read_records(kalshi, options, records)
            await _read_payouts(kalshi, records)
        if mirror is not None:
            mirror.save(records)
        tickers = _tickers(records, history=options.clv or options.history)
        markets, problems = await read_markets(kalshi, tickers)
        account = evaluate_account(records, markets, asof=asof)
        lines = None
        if options.clv:
            lines = await read_closing_lines(kalshi, account.fills, markets, _store(session.settings, options.store))
    account, claims = _with_claims(account, _store(session.settings, options.store))
    valued = None if lines is None else closing_value(account.fills, lines)
    return PortfolioReport(account, records, problems, valued=valued, claims=claims)


def _mirror(settings: Settings, options: AccountOptions) -> AccountMirror:
    folder = store_folder(settings, options.store) / "account"
    return AccountMirror(folder, settings.environment, settings.identity(), options.subaccount)


def _adds_up(records: AccountRecords, asof: datetime) -> bool:
    """Return whether the cash identity holds and the fills lead to the positions, if everything was read."""
    if not records.complete:
        return True
    account = evaluate_account(records, empty_markets(), asof=asof)
    return not account.mismatches and (account.identity is None or account.identity.holds)


async def _read_records(kalshi: Kalshi, options: AccountOptions, known: AccountRecords | None) -> AccountRecords:
    records = await read_account(kalshi.portfolio, subaccount=options.subaccount, known=known, transfers=known is None)
    if known is not None:
        records.deposits = known.deposits
        records.withdrawals = known.withdrawals
        records.subaccount_transfers = known.subaccount_transfers
        records.payouts_u = dict(known.payouts_u)
    return records


def _tickers(records: AccountRecords, *, history: bool) -> list[str]:
    """Return the markets to look up: those held or with resting orders, and with `history` every one traded."""
    tickers = [position.ticker for position in records.positions] + [order.ticker for order in records.orders]
    if history:
        tickers += [fill.ticker for fill in records.fills]
        tickers += [settlement.ticker for settlement in records.settlements]
    return list(dict.fromkeys(tickers))


async def read_markets(kalshi: Kalshi, tickers: Sequence[str]) -> tuple[pl.DataFrame, list[Problem]]:
    """Return MARKETS of these tickers with their events and series, whatever their status, and what went wrong.

    Archived markets are missing; so is the context that cannot be read.
    """
    if not tickers:
        return with_probabilities(empty_markets()), []
    problems: list[Problem] = []
    rows = []
    for start in range(0, len(tickers), _CHUNK):
        chunk = ",".join(tickers[start : start + _CHUNK])
        page = await kalshi.markets.list(limit=1000, tickers=chunk, mve_filter=None)
        rows += page.rows
        problems += [Problem(str(rejected), stage="markets", ticker=rejected.ticker) for rejected in page.rejected]
    frame, rejected = markets_frame(rows)
    problems += [Problem(str(each), stage="markets", ticker=each.ticker) for each in rejected]
    names = frame["event_ticker"].unique(maintain_order=True).to_list()
    events = []
    for start in range(0, len(names), _CHUNK):
        events += (await kalshi.events.list(tickers=",".join(names[start : start + _CHUNK]))).rows
    series_names = {event.series_ticker for event in events}
    answers = await asyncio.gather(*map(kalshi.series.get, sorted(series_names)), return_exceptions=True)
    series = []
    for answer in answers:
        if isinstance(answer, KalshiError):
            problems.append(Problem(f"a series could not be read ({answer.message})", stage="series"))
        elif isinstance(answer, BaseException):
            raise answer
        else:
            series.append(answer)
    return with_probabilities(with_context(frame, series, events)), problems


async def _read_payouts(kalshi: Kalshi, records: AccountRecords) -> None:
    """Add what YES paid in markets with fills that neither positions nor settlements list, as far as it is unknown."""
    listed = (
        set(records.payouts_u) | {row.ticker for row in records.positions} | {row.ticker for row in records.settlements}
    )
    unlisted = unlisted_markets(map(parse_fill, records.fills), listed)
    rows = []
    for start in range(0, len(unlisted), _CHUNK):
        chunk = unlisted[start : start + _CHUNK]
        rows += (await kalshi.markets.settlements(chunk)).rows
        live = {row.ticker for row in rows}
        archived = [ticker for ticker in chunk if ticker not in live]
        if archived:
            rows += (await kalshi.historical.settlements(archived)).rows
    payouts = settlements_frame(rows).drop_nulls("payout_u")
    records.payouts_u |= dict(payouts.select("ticker", "payout_u").iter_rows())


def _store(settings: Settings, given: Path | None) -> Store | None:
    """Return the store of a watch of this exchange, None if there is none."""
    folder = store_folder(settings, given)
    return Store(folder) if (folder / "store.json").exists() else None


def _with_claims(account: Account, store: Store | None) -> tuple[Account, pl.DataFrame | None]:
    """Return the account with the models whose claims were taken, and the fills matched with the claims."""
    if store is None or account.fills.is_empty():
        return account, None
    tickers = account.fills["ticker"].unique().to_list()
    edges = store.read("edges", where=pl.col("ticker").is_in(tickers))
    matched = match_claims(account.fills, edges)
    return attach_models(account, models_by_ticker(matched)), matched


@document_keywords(PortfolioRequest)
async def portfolio_async(**options: Any) -> PortfolioReport:
    """Show what an account holds and earned. See `portfolio`."""
    return await run_portfolio_request(build_request(PortfolioRequest, "portfolio", options), Hooks())


@document_keywords(PortfolioRequest)
def portfolio(**options: Any) -> PortfolioReport:
    """Show what an account holds, what it earned, and whether it beat the closing line. Read-only.

    Options are those of the command `fairline portfolio`, with underscores. Raises `UsageError` without an API key and
    `KalshiError` if the exchange cannot be reached.
    """
    return run_sync(portfolio_async(**options))


async def use_account(kalshi: Kalshi, session: Session, options: ScanOptions, sizing: Sizing) -> ScanOptions:
    """Return scan options with the account's holdings, and with its equity as bankroll unless one was given.

    Raises `UsageError` without an API key.
    """
    if not session.settings.has_key:
        raise UsageError("holdings need an API key", field="holdings")
    records = await read_account_state(kalshi.portfolio)
    for missing in records.missing:
        session.hooks.notify(f"fairline: {missing}")
    holdings = holdings_of(records)
    if options.bankroll is None and holdings.equity_u:
        session.hooks.notify(f"fairline: bankroll ${holdings.equity_u / 1e6:,.2f}, the account's equity")
        options = replace(options, bankroll=bankroll(replace(sizing, bankroll=holdings.equity_u / 1e6)))
    if options.fees is CAUTIOUS:
        fit, _ = await fit_fills(kalshi, session.settings)
        session.hooks.notify(f"fairline: {fit}")
        options = replace(options, fees=fit.policy)
    return replace(options, holdings=holdings)


async def fit_fills(kalshi: Kalshi, settings: Settings, *, subaccount: int = 0) -> tuple[FeeFit, list[str]]:
    """Fit the rounding of fees to every fill of the account, and remember a proven one for later scans with this key.

    Also return the series whose terms could not be read. Raises `UsageError` if the key may not read fills.
    """
    records = await read_fills(kalshi.portfolio, subaccount=subaccount)
    if records.missing:
        raise UsageError(f"the fills could not be read: {records.missing[0]}")
    fills = [parse_fill(fill) for fill in records.fills]
    terms, unread = await read_terms_of(kalshi, [fill.ticker for fill in fills])
    fit = fit_fees(fills, terms)
    remember_policy(settings, None if fit.proven is None else fit.proven.name)
    return fit, unread


def account_fees(settings: Settings, notify: Callable[[str], None]) -> Policy:
    """Return the rounding of fees that the account's fills proved, and say so; the cautious one otherwise."""
    policy = POLICIES.get(proven_policy(settings) or "")
    if policy is None:
        return CAUTIOUS
    notify(f"fairline: fees rounded as your own fills prove: {policy.name}")
    return policy


async def read_terms_of(kalshi: Kalshi, tickers: Sequence[str]) -> tuple[dict[str, FeeTerms], list[str]]:
    """Return the fee terms of the series of these markets, and of events that override them; also unread series."""
    terms: dict[str, FeeTerms] = {}
    unread = []
    names = sorted({ticker.split("-", maxsplit=1)[0] for ticker in tickers})
    answers = await asyncio.gather(*map(kalshi.series.get, names), return_exceptions=True)
    for name, answer in zip(names, answers, strict=True):
        if isinstance(answer, KalshiError):
            unread.append(name)
        elif isinstance(answer, BaseException):
            raise answer
        else:
            multiplier = 1.0 if answer.fee_multiplier is None else answer.fee_multiplier
            terms[name] = FeeTerms(answer.fee_type or "quadratic", multiplier)
    events = sorted({ticker.rpartition("-")[0] for ticker in tickers})
    for start in range(0, len(events), _CHUNK):
        page = await kalshi.events.list(tickers=",".join(events[start : start + _CHUNK]))
        for event in page.rows:
            if event.fee_type_override is not None and event.fee_multiplier_override is not None:
                terms[event.event_ticker] = FeeTerms(event.fee_type_override, event.fee_multiplier_override)
    return terms, unread
