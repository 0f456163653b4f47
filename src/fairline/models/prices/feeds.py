"""Where a price stands and how it wanders from there, read from what each kind of feed sends."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import polars as pl

from fairline.errors import InputError
from fairline.models.prices.diffusion import settling_sd, volatility
from fairline.models.prices.trading_hours import NEW_YORK, session, trading_days
from fairline.sources import Payload, Request

_COINBASE = "https://api.exchange.coinbase.com/products"
_SECONDS = (60, 900, 3_600)
"""Candles of a minute reach back five hours, of a quarter of an hour three days, of an hour twelve."""
_STALE_S = 120.0
_BASIS = 3e-4
"""By how much the price that is read may differ from the index that settles."""

_CBOE = "https://cdn.cboe.com/api/global/delayed_quotes/quotes/_{}.json"
_IMPLIED = {"SPX": "VIX", "NDX": "VXN"}
"""The volatility that options on an index imply, in percent a year, is an index too."""
_DELAY, _SETTLING = timedelta(minutes=25), timedelta(minutes=5)
"""How old a quote may be; and how long after the opening an index still holds yesterday's prices of its shares."""
_REALISED = 0.83
"""What an index moves in a day, of what VIX implies: chosen on the S&P 500 of 1990 to 2005, where its ladders of the
next close are then calibrated, and held against 2006 to 2022 (`tests/contract/test_index.py`).
"""
_ERROR = 0.15
"""Relative error of that: the ratio was 0.75 in the first half and 0.81 in the second, as a root mean square."""
_YEAR = 252
_LEAST, _MOST = 5.0, 200.0
"""Percent a year that options on an index may imply: VIX has been between 9 and 83."""


@dataclass(frozen=True, slots=True)
class Walk:
    """From `spot`, read at `at_s` (Unix seconds): `sd` gives the standard deviation of the log of what settles at a
    close as a mean over so many seconds before it, NaN for a close at which there is no price; `error` is its relative
    error, `basis` that of the price when it was read, and `late` the part of `sd` that lies between then and now.
    """

    spot: float
    at_s: float
    sd: Callable[[float, float], float]
    error: float
    basis: float
    late: float = 0.0


def coin_requests(name: str) -> list[Request]:
    return [_candles(name, seconds) for seconds in _SECONDS]


def coin_walk(name: str, payloads: Mapping[Request, Payload], asof: datetime) -> Walk:
    """By the candles of the last hours and days. Raises `InputError`."""
    now = asof.timestamp()
    prices = pl.concat([_closes(payloads[_candles(name, seconds)]) for seconds in _SECONDS])
    known = prices.unique("ts", keep="first").sort("ts").filter(pl.col("ts").is_between(0, now) & (pl.col("price") > 0))
    vol = volatility(known, now)
    if vol is None or known["ts"][-1] < now - _STALE_S:
        raise _stale(None if known.is_empty() else datetime.fromtimestamp(known["ts"][-1], UTC))
    at = float(known["ts"][-1])
    # From where the price was read, which is a little while ago.
    return Walk(known["price"][-1], at, lambda close, window: settling_sd(vol, at, close, window), vol.error, _BASIS)


def index_requests(name: str) -> list[Request]:
    """None for an index of which it is not known where its implied volatility is quoted."""
    return [_quote(name), _quote(_IMPLIED[name])] if name in _IMPLIED else []


def index_walk(name: str, payloads: Mapping[Request, Payload], asof: datetime) -> Walk:
    """By its last quote, which comes a quarter of an hour late, and the volatility that options imply.

    Raises `InputError`, above all while it is not traded: what futures say of it in the night is not seen here.
    """
    if name not in _IMPLIED:
        raise InputError(f"of {name} no implied volatility is known", remedy=f"Known: {', '.join(_IMPLIED)}")
    (spot, at), (percent, implied_at) = (_last(payloads[request]) for request in index_requests(name))
    hours = session(asof.astimezone(NEW_YORK).date())
    if hours is None or not hours[0] <= asof <= hours[1]:
        raise InputError("the stock exchanges are closed", remedy="Try again while the index is traded")
    if not max(asof - _DELAY, hours[0] + _SETTLING) <= at <= asof:
        raise _stale(at)
    today = asof.astimezone(NEW_YORK).date()
    if not _LEAST <= percent <= _MOST or not implied_at <= asof or implied_at.astimezone(NEW_YORK).date() != today:
        words = f"an implied volatility of {percent:g} %, of {implied_at:%Y-%m-%d %H:%M} UTC, is not usable"
        raise InputError(words, remedy="Its feed may have changed")
    day = _REALISED * percent / 100 / np.sqrt(_YEAR)

    def sd(close: float, _: float) -> float:
        end = datetime.fromtimestamp(close, UTC)
        its = session(end.astimezone(NEW_YORK).date())
        if its is None or not its[0] <= end <= its[1]:
            return float("nan")
        return float(np.hypot(day * np.sqrt(trading_days(at, end)), _BASIS))

    # Others know what it did since.
    late = float(day * np.sqrt(trading_days(at, asof)))
    return Walk(spot, at.timestamp(), sd, _ERROR, _BASIS, late)


def _stale(last: datetime | None) -> InputError:
    words = "none" if last is None else f"{last:%Y-%m-%d %H:%M} UTC"
    return InputError(f"there are no fresh prices (last: {words})", remedy="Try again while it is traded")


def _candles(subject: str, seconds: int) -> Request:
    return Request("https", f"{_COINBASE}/{subject}-USD/candles?granularity={seconds}", max_age_s=seconds / 2)


def _closes(payload: Payload) -> pl.DataFrame:
    """`{ts, price}` at the end of each candle. Raises `InputError` for what is no list of candles."""
    rows: Sequence[tuple[float, ...]]
    try:
        rows = msgspec.json.decode(payload.body, type=list[tuple[float, float, float, float, float, float]])
    except (msgspec.MsgspecError, RecursionError) as error:
        words = f"{payload.request.shown} is not a list of candles ({error})"
        raise InputError(words, remedy="Its feed may have changed") from None
    seconds = float(payload.request.key.rpartition("=")[2])
    ends = [(min(row[0] + seconds, payload.fetched_ts.timestamp()), row[4]) for row in rows]
    return pl.DataFrame(ends, schema={"ts": pl.Float64, "price": pl.Float64}, orient="row")


def _quote(name: str) -> Request:
    return Request("https", _CBOE.format(name), max_age_s=60)


class _Data(msgspec.Struct):
    current_price: float
    last_trade_time: str


class _Quoted(msgspec.Struct):
    data: _Data


def _last(payload: Payload) -> tuple[float, datetime]:
    """Price and time of a quote. Raises `InputError`."""
    try:
        data = msgspec.json.decode(payload.body, type=_Quoted).data
        told = datetime.fromisoformat(data.last_trade_time)
        at = (told if told.tzinfo else told.replace(tzinfo=NEW_YORK)).astimezone(UTC)
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as error:
        words = f"{payload.request.shown} is not a quote ({error})"
        raise InputError(words, remedy="Its feed may have changed") from None
    if not data.current_price > 0:
        raise InputError(f"{payload.request.shown} has no price", remedy="Try again later")
    return data.current_price, at
