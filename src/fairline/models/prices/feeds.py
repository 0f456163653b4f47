"""Where a price stands and how far it may move from there, read from each kind of feed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import polars as pl

from fairline.errors import InputError
from fairline.models.prices.diffusion import settling_sd, volatility
from fairline.models.prices.trading_hours import NEW_YORK, market_hours, trading_days
from fairline.sources import Payload, Request

COINBASE_URL = "https://api.exchange.coinbase.com/products"
CANDLE_SECONDS = (60, 900, 3_600)
"""Candles of a minute reach back five hours, of a quarter of an hour three days, of an hour twelve days."""
MAX_PRICE_AGE_S = 120.0
BASIS = 3e-4
"""Relative difference between the price that is read and the index that settles."""

CBOE_URL = "https://cdn.cboe.com/api/global/delayed_quotes/quotes/_{}.json"
VOLATILITY_INDEX = {"SPX": "VIX", "NDX": "VXN"}
"""The index of the volatility that options on an index imply, in percent a year."""
MAX_QUOTE_AGE = timedelta(minutes=25)
OPENING_DELAY = timedelta(minutes=5)
"""After the opening an index still contains yesterday's prices of its shares for this long."""
REALISED_SHARE = 0.83
"""Daily volatility of an index as a share of what VIX implies: chosen on the S&P 500 of 1990 to 2005, where ladders of
the next close are then calibrated, and checked on 2006 to 2022 (`tests/contract/test_index.py`)."""
REALISED_SHARE_ERROR = 0.15
"""Relative error of that share: it was 0.75 in the first half and 0.81 in the second, as a root mean square."""
TRADING_DAYS_PER_YEAR = 252
MIN_IMPLIED_PERCENT, MAX_IMPLIED_PERCENT = 5.0, 200.0
"""Plausible implied volatility in percent a year: VIX has been between 9 and 83."""
FEED_CHANGED = "The feed may have changed"


@dataclass(frozen=True, slots=True)
class RandomWalk:
    """A price that was `spot` at `at_s` (Unix seconds) and moves at random from there.

    `sd(close_s, window_s)` is the standard deviation of the log of what settles at a close as an average over a window,
    NaN for a close without a price. `error` is its relative error, `basis` that of the price, and `unseen` the part of
    `sd` between the reading and now.
    """

    spot: float
    at_s: float
    sd: Callable[[float, float], float]
    error: float
    basis: float
    unseen: float = 0.0


def coin_requests(name: str) -> list[Request]:
    """Return the candles that `coin_walk` reads."""
    return [_candles(name, seconds) for seconds in CANDLE_SECONDS]


def coin_walk(name: str, payloads: Mapping[Request, Payload], asof: datetime) -> RandomWalk:
    """Return a coin's price and volatility from its recent candles. Raises `InputError`."""
    now_s = asof.timestamp()
    prices = pl.concat([_read_candles(payloads[request]) for request in coin_requests(name)])
    usable = pl.col("ts").is_between(0, now_s) & (pl.col("price") > 0)
    known = prices.unique("ts", keep="first").sort("ts").filter(usable)
    vol = volatility(known, now_s)
    if vol is None or known["ts"][-1] < now_s - MAX_PRICE_AGE_S:
        raise _stale(None if known.is_empty() else datetime.fromtimestamp(known["ts"][-1], UTC))
    at_s = float(known["ts"][-1])
    return RandomWalk(
        spot=known["price"][-1],
        at_s=at_s,
        sd=lambda close_s, window_s: settling_sd(vol, at_s, close_s, window_s),
        error=vol.error,
        basis=BASIS,
    )


def index_requests(name: str) -> list[Request]:
    """Return the quotes that `index_walk` reads, none for an index without a known volatility index."""
    return [_quote(name), _quote(VOLATILITY_INDEX[name])] if name in VOLATILITY_INDEX else []


def index_walk(name: str, payloads: Mapping[Request, Payload], asof: datetime) -> RandomWalk:
    """Return an index's last quote, which is a quarter of an hour late, and the volatility that options imply.

    Raises `InputError`, in particular while the index is not traded: overnight futures are not read.
    """
    if name not in VOLATILITY_INDEX:
        known = ", ".join(VOLATILITY_INDEX)
        raise InputError(f"no volatility index is known for {name}", remedy=f"Known: {known}")
    (spot, at), (percent, implied_at) = (_read_quote(payloads[request]) for request in index_requests(name))
    _check_quote_time(at, asof)
    _check_implied(percent, implied_at, asof)
    daily = REALISED_SHARE * percent / 100 / np.sqrt(TRADING_DAYS_PER_YEAR)

    def sd(close_s: float, _window_s: float) -> float:
        end = datetime.fromtimestamp(close_s, UTC)
        if not _is_open(end):
            return float("nan")
        return float(np.hypot(daily * np.sqrt(trading_days(at, end)), BASIS))

    unseen = float(daily * np.sqrt(trading_days(at, asof)))
    return RandomWalk(spot, at.timestamp(), sd, REALISED_SHARE_ERROR, BASIS, unseen)


def _is_open(moment: datetime) -> bool:
    hours = market_hours(moment.astimezone(NEW_YORK).date())
    return hours is not None and hours[0] <= moment <= hours[1]


def _check_quote_time(at: datetime, asof: datetime) -> None:
    """Raise `InputError` unless the exchanges are open and the quote is of this session and recent."""
    hours = market_hours(asof.astimezone(NEW_YORK).date())
    if hours is None or not hours[0] <= asof <= hours[1]:
        raise InputError("the stock exchanges are closed", remedy="Try again while the index is traded")
    if not max(asof - MAX_QUOTE_AGE, hours[0] + OPENING_DELAY) <= at <= asof:
        raise _stale(at)


def _check_implied(percent: float, at: datetime, asof: datetime) -> None:
    """Raise `InputError` unless the implied volatility is plausible and of today."""
    is_today = at <= asof and at.astimezone(NEW_YORK).date() == asof.astimezone(NEW_YORK).date()
    if not (is_today and MIN_IMPLIED_PERCENT <= percent <= MAX_IMPLIED_PERCENT):
        message = f"an implied volatility of {percent:g} % at {at:%Y-%m-%d %H:%M} UTC is not usable"
        raise InputError(message, remedy=FEED_CHANGED)


def _stale(last: datetime | None) -> InputError:
    when = "none" if last is None else f"{last:%Y-%m-%d %H:%M} UTC"
    return InputError(f"there are no fresh prices (last: {when})", remedy="Try again while it is traded")


def _candles(subject: str, seconds: int) -> Request:
    return Request("https", f"{COINBASE_URL}/{subject}-USD/candles?granularity={seconds}", max_age_s=seconds / 2)


def _read_candles(payload: Payload) -> pl.DataFrame:
    """`{ts, price}` at the end of each candle. Raises `InputError`."""
    try:
        rows = msgspec.json.decode(payload.body, type=list[tuple[float, float, float, float, float, float]])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InputError(f"{payload.request.shown} is not a list of candles ({error})", remedy=FEED_CHANGED) from error
    seconds = float(payload.request.key.rpartition("=")[2])
    # The last candle is unfinished: its price is the one at the time of the answer.
    fetched_s = payload.fetched_ts.timestamp()
    ends = [(min(start + seconds, fetched_s), close) for start, _, _, _, close, _ in rows]
    return pl.DataFrame(ends, schema={"ts": pl.Float64, "price": pl.Float64}, orient="row")


def _quote(name: str) -> Request:
    return Request("https", CBOE_URL.format(name), max_age_s=60)


class _QuoteData(msgspec.Struct):
    current_price: float
    last_trade_time: str


class _Quote(msgspec.Struct):
    data: _QuoteData


def _read_quote(payload: Payload) -> tuple[float, datetime]:
    """Price and time of a quote. Raises `InputError`."""
    try:
        data = msgspec.json.decode(payload.body, type=_Quote).data
        stated = datetime.fromisoformat(data.last_trade_time)
        at = (stated if stated.tzinfo else stated.replace(tzinfo=NEW_YORK)).astimezone(UTC)
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as error:
        raise InputError(f"{payload.request.shown} is not a quote ({error})", remedy=FEED_CHANGED) from error
    if not data.current_price > 0:
        raise InputError(f"{payload.request.shown} has no price", remedy="Try again later")
    return data.current_price, at
