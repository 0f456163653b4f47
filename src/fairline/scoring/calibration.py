"""Fit what prices have meant, and test on events left out of the fit whether that is worth more than the price."""

from datetime import datetime

import numpy as np
import polars as pl
from scipy.optimize import isotonic_regression
from scipy.special import ndtri

from fairline.models.curve import ALL_CATEGORIES, HOURS_BEFORE_CLOSE, Curve, Curves, Floats, curve_name
from fairline.scoring.metrics import Interval, clustered_mean
from fairline.store.store import Store

PRIOR_EVENTS = 100.0
"""A block's frequency is shrunk towards its price as if by so many events that ended as they were priced."""
MIN_EVENTS = 200
"""Events that a category needs for a curve of its own."""
MIN_EVENTS_PER_OUTCOME = 30
"""Events that must have ended YES, and as many NO, before a curve can beat the price."""
FOLDS = 5
CLIP = 1e-4
MAX_FINITE = 1e9
LOOK_TOLERANCE = "2h"
"""A quote is assumed to hold only as long as the watch keeps looking."""


def price_history(store: Store, until: datetime | None = None) -> pl.DataFrame:
    """Return `{ticker, event_ticker, category, hours, price, y}` of every settled market that was watched.

    `price` is its midpoint that many hours before its close, where it was quoted on both sides. With `until`
    only what had been recorded by then is used. Raises `StoreError`.
    """
    settled = store.read("settlements", until=until).unique("ticker", keep="last", maintain_order=True)
    ended = settled.filter(pl.col("result").is_in(["yes", "no"])).select("ticker", y=pl.col("result") == "yes")
    is_ended = pl.col("ticker").is_in(ended["ticker"].to_list())
    names = ["seen_ts", "ticker", "event_ticker", "category", "close_ts"]
    facts = store.read("facts", until=until, where=is_ended, columns=names)
    # The first known close counts: a later change of it was not known before.
    facts = facts.unique("ticker", keep="first", maintain_order=True).join(ended, on="ticker")
    wanted = facts.join(pl.DataFrame({"hours": HOURS_BEFORE_CLOSE}), how="cross").with_columns(
        at=pl.col("close_ts") - pl.duration(minutes=pl.col("hours") * 60)
    )
    columns = ["seen_ts", "ticker", "yes_bid_u", "yes_ask_u"]
    quotes = store.read("quotes", until=until, where=is_ended, columns=columns).sort("seen_ts")
    quoted = wanted.sort("at").join_asof(
        quotes, left_on="at", right_on="seen_ts", by="ticker", strategy="backward", check_sortedness=False
    )
    looks = store.read("scans", until=until, where=pl.col("outcome") == "done", columns=["seen_ts"])
    looks = looks.select(look="seen_ts").sort("look")
    current = quoted.sort("at").join_asof(
        looks, left_on="at", right_on="look", strategy="backward", tolerance=LOOK_TOLERANCE
    )
    two_sided = pl.col("yes_bid_u").is_not_null() & pl.col("yes_ask_u").is_not_null()
    midpoint = (pl.col("yes_bid_u") + pl.col("yes_ask_u")) / 2e6
    return current.filter(pl.col("look").is_not_null() & two_sided).select(
        "ticker", "event_ticker", "category", "hours", price=midpoint, y=pl.col("y").cast(pl.Float64)
    )


def fit_curves(history: pl.DataFrame, now: datetime) -> Curves:
    """Return curves for every category and time before the close with enough events.

    `history` has the columns of `price_history`.
    """
    groups: dict[str, pl.DataFrame] = {}
    for (hours,), rows in history.group_by("hours", maintain_order=True):
        at = float(str(hours))
        groups[curve_name(ALL_CATEGORIES, at)] = rows
        by_category = rows.drop_nulls("category").group_by("category")
        groups |= {curve_name(str(category), at): group for (category,), group in by_category}
    enough = {name: rows for name, rows in sorted(groups.items()) if rows["event_ticker"].n_unique() >= MIN_EVENTS}
    return Curves(now, {name: fit_curve(rows, len(enough)) for name, rows in enough.items()})


def fit_curve(rows: pl.DataFrame, among: int = 1) -> Curve:
    """Return one curve over `{event_ticker, price, y}`, and its gain over the price on events left out of the fit.

    The interval is widened for the number of curves it is one `among`, so that none wins by luck (Bonferroni).
    """
    prices, frequencies, errors = _isotonic(rows)
    mean, low, high = _widen(clustered_mean(_gains_left_out(rows), "gain"), among)
    if _events_of_rarer_outcome(rows) < MIN_EVENTS_PER_OUTCOME:
        # If an outcome hardly occurred, all gains are small and of one sign, and their interval says nothing.
        low = min(low, 0.0)
    finite = [float(np.clip(value, -MAX_FINITE, MAX_FINITE)) for value in (mean, low, high)]
    events = rows["event_ticker"].n_unique()
    return Curve(prices.tolist(), frequencies.tolist(), errors.tolist(), rows.height, events, *finite)


def _widen(gain: Interval | None, among: int) -> tuple[float, float, float]:
    if gain is None:
        return 0.0, float("-inf"), float("inf")
    factor = float(ndtri(1 - 0.025 / among) / ndtri(0.975))
    return gain.mean, gain.mean + (gain.low - gain.mean) * factor, gain.mean + (gain.high - gain.mean) * factor


def _events_of_rarer_outcome(rows: pl.DataFrame) -> int:
    return min(rows.filter(pl.col("y") == outcome)["event_ticker"].n_unique() for outcome in (0.0, 1.0))


def _isotonic(rows: pl.DataFrame) -> tuple[Floats, Floats, Floats]:
    """Blocks of an isotonic regression, each shrunk towards its price; 0 and 1 stay fixed."""
    # Rows are grouped by price so that the order of equal prices does not matter.
    levels = rows.group_by("price").agg(pl.col("y").mean(), n=pl.len()).sort("price")
    fitted = isotonic_regression(levels["y"].to_numpy(), weights=levels["n"].to_numpy().astype(np.float64))
    number = np.repeat(np.arange(len(fitted.blocks) - 1), np.diff(fitted.blocks))
    blocks = rows.join(levels.select("price", block=pl.Series(number)), on="price").sort("block", "price")
    means = blocks.group_by("block", maintain_order=True).agg(
        pl.col("price").mean(), pl.col("y").mean(), events=pl.col("event_ticker").n_unique()
    )
    price, frequency, events = (means[name].to_numpy().astype(np.float64) for name in ("price", "y", "events"))
    shrunk = (events * frequency + PRIOR_EVENTS * price) / (events + PRIOR_EVENTS)
    error = np.sqrt(np.clip(shrunk * (1 - shrunk), 1e-6, None) / (events + PRIOR_EVENTS))
    inner = (price > 0) & (price < 1)
    prices = np.concatenate([[0.0], price[inner], [1.0]])
    frequencies = np.maximum.accumulate(np.concatenate([[0.0], shrunk[inner], [1.0]]))
    return prices, frequencies, np.concatenate([[0.0], error[inner], [0.0]])


def _gains_left_out(rows: pl.DataFrame) -> pl.DataFrame:
    """For each row, the log loss saved by a curve fitted without a fifth of the events, its own among them."""
    fold = rows["event_ticker"].rank("dense").to_numpy() * 7 % FOLDS
    parts = []
    for number in range(FOLDS):
        left_out = pl.Series(fold == number)
        train, test = rows.filter(~left_out), rows.filter(left_out)
        if train.is_empty() or test.is_empty():
            continue
        prices, frequencies, _ = _isotonic(train)
        price, y = test["price"].to_numpy(), test["y"].to_numpy()
        gain = _log_loss(price, y) - _log_loss(np.interp(price, prices, frequencies), y)
        parts.append(test.select("event_ticker", gain=pl.Series(gain)))
    return pl.concat(parts) if parts else pl.DataFrame(schema={"event_ticker": pl.String, "gain": pl.Float64})


def _log_loss(p: Floats, y: Floats) -> Floats:
    clipped = np.clip(p, CLIP, 1 - CLIP)
    loss: Floats = -(y * np.log(clipped) + (1 - y) * np.log(1 - clipped))
    return loss
