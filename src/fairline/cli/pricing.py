"""`fees`: what an order is charged, with the calculation written out."""

import asyncio
import json
import re
from datetime import UTC, datetime
from typing import Annotated

import typer

from fairline.cli.options import AsJson, Exchange_, Profile
from fairline.cli.terminal import settings_of
from fairline.errors import UsageError
from fairline.kalshi import Kalshi, Transport
from fairline.market.fees import CAUTIOUS, COEFFICIENTS, POLICIES
from fairline.market.frame import NOTIONAL_U, multiplier_units
from fairline.market.terms import Terms, quote, terms_at

commands = typer.Typer()


@commands.command(epilog="Example: fairline fees --type quadratic --multiplier 1 --size 100 --price 0.10 --json")
def fees(
    ticker: Annotated[str, typer.Argument(help="A market, whose terms are read from the exchange.")] = "",
    size: Annotated[str, typer.Option(metavar="CONTRACTS", help="At most two decimals.")] = "100",
    price: Annotated[str, typer.Option(metavar="DOLLARS", help="A contract's price; the best ask if absent.")] = "",
    maker: Annotated[bool, typer.Option("--maker", help="Resting instead of taking.")] = False,
    policy: Annotated[str, typer.Option(help=f"How it is rounded: {', '.join(POLICIES)}.")] = CAUTIOUS.name,
    at: Annotated[str, typer.Option(metavar="TIME", help="As of this ISO 8601 time; now if absent.")] = "",
    fee_type: Annotated[str, typer.Option("--type", help="Without a market: its fee type.")] = "",
    multiplier: Annotated[float | None, typer.Option(help="Without a market: its multiplier.")] = None,
    as_json: AsJson = False,
    exchange: Exchange_ = None,
    profile: Profile = None,
) -> None:
    """What an order is charged, with the calculation written out; offline with --type and --multiplier."""
    if policy not in POLICIES:
        raise UsageError(f"there is no policy {policy!r}", remedy=f"--policy takes {', '.join(POLICIES)}")
    count_cc = _exact(size, 2, "--size")
    if not 0 < count_cc <= 10**9:
        raise UsageError(
            "the value of --size is impossible", remedy="It takes more than 0 contracts, at most 10,000,000"
        )
    moment = _moment(at)
    if ticker and (fee_type or multiplier is not None):
        raise UsageError("a market brings its own terms", remedy="Leave out --type and --multiplier, or the ticker")
    if ticker:
        url = settings_of(exchange=exchange, profile=profile).url
        terms, best_u = asyncio.run(_terms_of(url, ticker.upper(), moment))
    else:
        terms, best_u = _offline(fee_type, multiplier), None
    price_u = _exact(price, 6, "--price") if price else best_u
    if price_u is None or not 0 < price_u < NOTIONAL_U:
        raise UsageError("there is no price" if price_u is None else "the value of --price is impossible",
                         remedy="--price takes dollars between 0 and 1, such as 0.37")  # fmt: skip
    made = quote(terms, price_u, count_cc, maker=maker, policy=POLICIES[policy])
    if not as_json:
        print("\n".join(made.derivation()))
        return
    document = {
        "fee": made.fee_u / NOTIONAL_U,
        "fee_per_contract": round(made.fee_u / NOTIONAL_U / (count_cc / 100), 6),
        "trade_fee": made.trade_fee_u / NOTIONAL_U,
        "price": price_u / NOTIONAL_U,
        "size": count_cc / 100,
        "role": "maker" if maker else "taker",
        "fee_type": terms.fee_type,
        "multiplier": terms.multiplier_m / 10_000,
        "terms_from": terms.source,
        "policy": made.policy.name,
        "policy_source": made.policy.source,
        "derivation": made.derivation(),
    }
    print(json.dumps(document, indent=2))


async def _terms_of(url: str, ticker: str, at: datetime) -> tuple[Terms, int | None]:
    """The terms of a market and its best ask."""
    async with Kalshi(Transport(url)) as kalshi:
        market = await kalshi.markets.get(ticker)
        event = await kalshi.events.get(market.event_ticker)
        series = await kalshi.series.get(event.series_ticker)
        changes = await kalshi.series.fee_changes(series.ticker)
        overrides = await kalshi.events.fee_changes(event.event_ticker)
    waiver = market.fee_waiver_expiration_time
    until = datetime.fromisoformat(waiver) if waiver else None
    terms = terms_at(series, changes, event, overrides, at, waived_until=until)
    return terms, _exact(market.yes_ask_dollars, 6, "the ask") if float(market.yes_ask_size_fp) > 0 else None


def _offline(fee_type: str, multiplier: float | None) -> Terms:
    if not fee_type:
        raise UsageError("there is neither a market nor a fee type", remedy="Give a TICKER, or --type and --multiplier")
    if fee_type not in COEFFICIENTS:
        raise UsageError(f"the fee type {fee_type!r} has no published rate", remedy=f"Known: {', '.join(COEFFICIENTS)}")
    if multiplier is not None and not 0 <= multiplier <= 1_000:
        raise UsageError("the value of --multiplier is impossible", remedy="It takes a number from 0 to 1,000")
    return Terms(fee_type, multiplier_units(1.0 if multiplier is None else multiplier), "as given")


def _exact(text: str, decimals: int, flag: str) -> int:
    """A decimal text as an integer in its last decimal. Raises `UsageError`."""
    found = re.fullmatch(rf"(\d{{0,9}})(?:\.(\d{{0,{decimals}}})0*)?", text.strip())
    if found is None or not (found[1] or found[2]):
        raise UsageError(
            f"{text!r} is not a value of {flag}", remedy=f"It takes a number of at most {decimals} decimals"
        )
    return int((found[1] or "0") + (found[2] or "").ljust(decimals, "0"))


def _moment(text: str) -> datetime:
    if not text:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is not a time", remedy="--at takes such as 2026-11-22T18:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
