"""Fits what prices have meant, and says by events that it has not seen whether that is worth more than the price."""

from datetime import datetime

import numpy as np
import polars as pl
from scipy.optimize import isotonic_regression
from scipy.special import ndtri

from fairline.models.curve import AHEAD_H, ANY, Curve, Curves, Floats, name_of
from fairline.scoring.metrics import Interval, clustered_mean
from fairline.store.store import Store

PRIOR = 100.0
"""Events that a block's frequency is drawn towards its price by: as if so many had ended as they were priced."""
FEWEST = 200
"""Events that a category must have to get a curve of its own."""
ENDS = 30
"""Events that must have ended either way before a curve can be better than the price."""
_FOLDS = 5
_FLOOR = 1e-4


def price_history(store: Store) -> pl.DataFrame:
    """Of every settled market that was watched: `{ticker, event_ticker, category, hours, price, y}`, its midpoint so
    many hours before it closed, where it was quoted on both sides then. Raises `StoreError`.
    """
    settled = store.read("settlements").unique("ticker", keep="last", maintain_order=True)
    ended = settled.filter(pl.col("result").is_in(["yes", "no"])).select("ticker", y=pl.col("result") == "yes")
    ours = pl.col("ticker").is_in(ended["ticker"].to_list())
    names = ["seen_ts", "ticker", "event_ticker", "category", "close_ts"]
    facts = store.read("facts", where=ours, columns=names)
    # The close that was known first: one that was moved later is not known before.
    facts = facts.unique("ticker", keep="first", maintain_order=True).join(ended, on="ticker")
    wanted = facts.join(pl.DataFrame({"hours": AHEAD_H}), how="cross").with_columns(
        at=pl.col("close_ts") - pl.duration(minutes=pl.col("hours") * 60)
    )
    columns = ["seen_ts", "ticker", "yes_bid_u", "yes_ask_u"]
    quotes = store.read("quotes", where=ours, columns=columns).sort("seen_ts")
    found = wanted.sort("at").join_asof(
        quotes, left_on="at", right_on="seen_ts", by="ticker", strategy="backward", check_sortedness=False
    )
    # A quote stands until it changes only as long as somebody looks.
    looked = (
        store.read("scans", where=pl.col("outcome") == "done", columns=["seen_ts"]).select(look="seen_ts").sort("look")
    )
    found = found.sort("at").join_asof(looked, left_on="at", right_on="look", strategy="backward", tolerance="2h")
    found = found.filter(pl.col("look").is_not_null())
    two = pl.col("yes_bid_u").is_not_null() & pl.col("yes_ask_u").is_not_null()
    return found.filter(two).select(
        "ticker", "event_ticker", "category", "hours", price=(pl.col("yes_bid_u") + pl.col("yes_ask_u")) / 2e6,
        y=pl.col("y").cast(pl.Float64),
    )  # fmt: skip


def fit(history: pl.DataFrame, now: datetime) -> Curves:
    """Curves by category and time before the close, for all that have enough events, from `price_history`'s columns."""
    kinds: dict[str, pl.DataFrame] = {}
    for (hours,), rows in history.group_by("hours", maintain_order=True):
        at = float(str(hours))
        kinds[name_of(ANY, at)] = rows
        kinds |= {name_of(str(n), at): some for (n,), some in rows.drop_nulls("category").group_by("category")}
    enough = {name: rows for name, rows in sorted(kinds.items()) if rows["event_ticker"].n_unique() >= FEWEST}
    return Curves(now, {name: fit_curve(rows, len(enough)) for name, rows in enough.items()})


def mean_of(gain: Interval | None) -> float:
    return 0.0 if gain is None else gain.mean


def fit_curve(rows: pl.DataFrame, among: int = 1) -> Curve:
    """One curve over `{event_ticker, price, y}`, and its gain over the price on events left out of the fit. Its
    interval is wider the more curves it is one `among`, so that none is better by luck (Bonferroni).
    """
    widen = float(ndtri(1 - 0.025 / among) / ndtri(0.975))
    prices, frequencies, errors = _isotone(rows)
    judged = _left_out(rows)
    gain = clustered_mean(judged, "gain")
    low, high = (float("-inf"), float("inf")) if gain is None else (gain.low, gain.high)
    low, high = (mean_of(gain) + (end - mean_of(gain)) * widen for end in (low, high))
    if min(rows.filter(pl.col("y") == end)["event_ticker"].n_unique() for end in (0.0, 1.0)) < ENDS:
        # Where one end was hardly ever seen, every gain is small and of one sign, and its interval says nothing.
        low = min(low, 0.0)
    finite = [float(np.clip(value, -1e9, 1e9)) for value in (mean_of(gain), low, high)]
    return Curve(
        prices.tolist(), frequencies.tolist(), errors.tolist(), rows.height, rows["event_ticker"].n_unique(), *finite
    )


def _isotone(rows: pl.DataFrame) -> tuple[Floats, Floats, Floats]:
    """Blocks of an isotonic regression, each drawn towards its price; certainties stay certain."""
    # Equal prices belong together: in which order they come must not matter.
    levels = rows.group_by("price").agg(pl.col("y").mean(), n=pl.len()).sort("price")
    fitted = isotonic_regression(levels["y"].to_numpy(), weights=levels["n"].to_numpy().astype(np.float64))
    number = np.repeat(np.arange(len(fitted.blocks) - 1), np.diff(fitted.blocks))
    blocks = rows.join(levels.select("price", block=pl.Series(number)), on="price").sort("block", "price")
    means = blocks.group_by("block", maintain_order=True).agg(
        pl.col("price").mean(), pl.col("y").mean(), events=pl.col("event_ticker").n_unique()
    )
    at, seen, events = (means[name].to_numpy().astype(np.float64) for name in ("price", "y", "events"))
    drawn = (events * seen + PRIOR * at) / (events + PRIOR)
    error = np.sqrt(np.clip(drawn * (1 - drawn), 1e-6, None) / (events + PRIOR))
    inner = (at > 0) & (at < 1)
    prices = np.concatenate([[0.0], at[inner], [1.0]])
    frequencies = np.maximum.accumulate(np.concatenate([[0.0], drawn[inner], [1.0]]))
    return prices, frequencies, np.concatenate([[0.0], error[inner], [0.0]])


def _left_out(rows: pl.DataFrame) -> pl.DataFrame:
    """Of each row by how much its log loss was less by a curve fitted without a fifth of the events, its own in it."""
    fold = rows["event_ticker"].rank("dense").to_numpy() * 7 % _FOLDS
    parts = []
    for number in range(_FOLDS):
        out = pl.Series(fold == number)
        seen, unseen = rows.filter(~out), rows.filter(out)
        if seen.is_empty() or unseen.is_empty():
            continue
        prices, frequencies, _ = _isotone(seen)
        price, y = unseen["price"].to_numpy(), unseen["y"].to_numpy()
        gain = _loss(price, y) - _loss(np.interp(price, prices, frequencies), y)
        parts.append(unseen.select("event_ticker", gain=pl.Series(gain)))
    return pl.concat(parts) if parts else pl.DataFrame(schema={"event_ticker": pl.String, "gain": pl.Float64})


def _loss(p: Floats, y: Floats) -> Floats:
    inside = np.clip(p, _FLOOR, 1 - _FLOOR)
    made: Floats = -(y * np.log(inside) + (1 - y) * np.log(1 - inside))
    return made
