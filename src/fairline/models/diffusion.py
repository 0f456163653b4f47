"""Hourly and daily ladders of a price: a random walk with the volatility that it had of late."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec
import numpy as np
import polars as pl

from fairline.diffusion import Floats, Volatility, doubt, probability, settling_sd, volatility
from fairline.errors import InputError
from fairline.linking import SURE, link, subjects
from fairline.models.answer import answered
from fairline.sources import Payload, Request

_HOST = "https://api.exchange.coinbase.com/products"
_SECONDS = (60, 900, 3_600)
"""Candles of a minute reach back five hours, of a quarter of an hour three days, of an hour twelve."""
_STALE_S = 120.0
_BASIS = 3e-4
"""By how much the price that is read may differ from the index that settles."""
_LONGEST_S = 86_400.0 * 3


class DiffusionModel:
    """Price ladders (BTC, ETH): a random walk with fat tails from the last minute's price, at recent volatility.

    It knows nothing of news to come, and prices nothing in the minute that settles, nor from prices two minutes old.
    """

    name, version = "diffusion", "1"

    def __init__(self) -> None:
        self._subjects = {series: s for series, s in subjects().items() if s.kind == "price"}

    def covers(self, markets: pl.DataFrame) -> pl.Expr:
        return pl.col("series_ticker").is_in(list(self._subjects)) & (pl.col("status") == "active")

    def requests(self, markets: pl.DataFrame, asof: datetime) -> Sequence[Request]:
        there = set(markets["series_ticker"].unique())
        names = sorted({s.subject for series, s in self._subjects.items() if series in there})
        return [_candles(name, seconds) for name in names for seconds in _SECONDS]

    def predict(self, markets: pl.DataFrame, payloads: Mapping[Request, Payload], asof: datetime) -> pl.DataFrame:
        """PREDICTIONS of the markets whose link is sure; a `note` says of the others why they have none."""
        linked = link(markets, self._subjects)
        now = asof.timestamp()
        made = list[pl.DataFrame]()
        for (subject,), rows in linked.group_by("subject", maintain_order=True):
            try:
                prices = pl.concat([_read(payloads[_candles(str(subject), s)]) for s in _SECONDS])
            except InputError as error:
                # The others have their own prices.
                made.append(_unpriced(rows.with_columns(note=pl.lit(error.message))))
                continue
            made.append(_priced(rows, prices.unique("ts", keep="first").sort("ts"), now))
        return answered(made, self.name, asof)


def _candles(subject: str, seconds: int) -> Request:
    return Request("https", f"{_HOST}/{subject}-USD/candles?granularity={seconds}", max_age_s=seconds / 2)


def _read(payload: Payload) -> pl.DataFrame:
    """`{ts, price}` at the end of each candle. Raises `InputError` for what is no list of candles."""
    try:
        rows = msgspec.json.decode(payload.body, type=list[tuple[float, float, float, float, float, float]])
    except msgspec.MsgspecError as error:
        words = f"{payload.request.shown} is not a list of candles ({error})"
        raise InputError(words, remedy="Its feed may have changed") from None
    seconds = float(payload.request.key.rpartition("=")[2])
    ends = [(min(row[0] + seconds, payload.fetched_ts.timestamp()), row[4]) for row in rows]
    return pl.DataFrame(ends, schema={"ts": pl.Float64, "price": pl.Float64}, orient="row")


def _priced(rows: pl.DataFrame, prices: pl.DataFrame, now: float) -> pl.DataFrame:
    """One subject's markets, of which it is known where its price stood."""
    known = prices.filter((pl.col("ts") <= now) & (pl.col("price") > 0))
    vol = volatility(known, now)
    if vol is None or known["ts"][-1] < now - _STALE_S:
        last = "none" if known.is_empty() else f"{datetime.fromtimestamp(known['ts'][-1], UTC):%Y-%m-%d %H:%M} UTC"
        return _unpriced(rows.with_columns(note=pl.lit(f"there are no fresh prices (last: {last})")))
    closes = rows["at_ts"].dt.epoch("us").to_numpy() / 1e6
    # From where the price was read, which is a little while ago.
    sd = _spread(vol, known["ts"][-1], closes, rows["window_s"].to_numpy())
    low, high = (rows[name].fill_null(float("nan")).to_numpy() for name in ("low", "high"))
    spot = np.full(rows.height, known["price"][-1])
    p = np.clip(probability(low, high, spot, sd), 0.0, 1.0)
    unsure = np.minimum(doubt(low, high, spot, sd, error=vol.error, basis=_BASIS), np.sqrt(p * (1 - p)))
    made = rows.select("ticker", "confidence", "reason").with_columns(
        p=pl.Series(p), p_sd=pl.Series(unsure), ahead=pl.Series(closes - now), window=rows["window_s"]
    )
    why = pl.coalesce(
        # Without the days and hours in it, so that all of a kind are one line.
        pl.col("reason").str.replace_all(r"\d[\d-]*", "…"),
        pl.when(pl.col("confidence") < SURE).then(pl.lit("what it is about is not sure enough")),
        pl.when(pl.col("ahead") <= pl.col("window")).then(pl.lit("it settles within the minute")),
        pl.when(pl.col("ahead") > _LONGEST_S).then(pl.lit("it settles in more than three days")),
    )
    judged = made.with_columns(note=why)
    priced = judged.filter(pl.col("note").is_null()).select("ticker", "p", "p_sd", "note")
    return pl.concat([priced, _unpriced(judged.filter(pl.col("note").is_not_null()))])


def _spread(vol: Volatility, now: float, closes: Floats, windows: Floats) -> Floats:
    """Standard deviations, each closing time worked out once."""
    pairs, where = np.unique(np.column_stack([closes, windows]), axis=0, return_inverse=True)
    return np.array([settling_sd(vol, now, close, window) for close, window in pairs])[where.ravel()]


def _unpriced(rows: pl.DataFrame) -> pl.DataFrame:
    """A line for each reason, with one of the markets that have it, not one for each market."""
    told = rows.group_by("note", maintain_order=True).agg(pl.len(), pl.col("ticker").first())
    nothing = pl.lit(None, dtype=pl.Float64)
    words = pl.format("{} markets such as {} are not priced: {}", "len", "ticker", "note")
    return told.select(pl.lit(None, dtype=pl.String).alias("ticker"), p=nothing, p_sd=nothing, note=words)
