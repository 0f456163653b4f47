"""The probabilities nearest to the midpoints that obey the rules of the exchange."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fairline.market.frame import payout_high_u, payout_low_u
from fairline.pricing.ladders import ABOVE, BELOW, STRICT, strike_ladders

Floats = NDArray[np.float64]


def coherent(markets: pl.DataFrame) -> pl.DataFrame:
    """Return `{ticker, p, p_sd}`: probabilities near the midpoints that obey the rules and lie inside the quotes.

    Ladders by isotonic regression, then moved into the quotes; mutually exclusive events by projection on "adds up to
    at most one". Where quotes break a rule no such probabilities lie inside them, and ones near the midpoints are
    returned. `p_sd` is that of a price anywhere between bid and ask, (ask − bid)/√12. Only markets with two quotes.
    """
    two_sided = markets.filter(pl.col("yes_bid_u").is_not_null() & pl.col("yes_ask_u").is_not_null())
    rungs = _place_on_ladders(two_sided).sort("group", "width", "strict", "ticker")
    low, high = rungs["low"].to_numpy(), rungs["high"].to_numpy()
    p = _isotonic((low + high) / 2, low, high, rungs["group"].rle_id().to_numpy())
    order = rungs.select(pl.arg_sort_by("event_ticker")).to_series().to_numpy()
    event = rungs["event_ticker"].gather(order).rle_id().to_numpy()
    exclusive = rungs["mutually_exclusive"].fill_null(value=False).to_numpy()[order]
    p[order] = _sum_to_at_most_one(p[order], low[order], high[order], event, exclusive)
    return rungs.select("ticker", p=pl.Series(p), p_sd=pl.Series(np.abs(high - low) / np.sqrt(12)))


def _place_on_ladders(markets: pl.DataFrame) -> pl.DataFrame:
    """Add the ladder of each market (`group`), its place on it, widest first (`width`, `strict`), and its quotes.

    Rungs "above" and "below" are separate groups; a market on no ladder is a group of its own.
    """
    ladders = strike_ladders(markets.lazy()).filter(ABOVE | BELOW).select("ticker", ladder=pl.col("ladder").hash())
    direction = pl.struct("ladder", above=ABOVE).hash()
    width = pl.when(ABOVE).then(pl.col("floor_strike")).otherwise(-pl.col("cap_strike"))
    payout_range = payout_high_u() - payout_low_u()
    return (
        markets.lazy()
        .join(ladders, on="ticker", how="left", maintain_order="left")
        .with_columns(
            group=pl.when(pl.col("ladder").is_not_null()).then(direction).otherwise(pl.col("ticker").hash()),
            width=pl.when(pl.col("ladder").is_not_null()).then(width).otherwise(0.0),
            strict=STRICT.fill_null(value=False).cast(pl.Int8),
            low=(pl.col("yes_bid_u") - payout_low_u()) / payout_range,
            high=(pl.col("yes_ask_u") - payout_low_u()) / payout_range,
        )
        .collect()
    )


def _isotonic(middle: Floats, low: Floats, high: Floats, group: NDArray[np.uint32]) -> Floats:
    """Return the values nearest to `middle` that fall within each group, inside the bounds where those allow it.

    All groups at once: each is lifted above the next, far enough not to meet it, so that one regression serves all.
    """
    from scipy.optimize import isotonic_regression

    if not len(middle):
        return middle
    lift = 4.0 * (group.max() - group)
    p: Floats = np.asarray(isotonic_regression(middle + lift, increasing=False).x) - lift
    # The bounds of a rung bound those on one side of it too: none is worth more than a wider one's ask, or less than a
    # narrower one's bid.
    ceiling = np.minimum.accumulate(high + lift) - lift
    floor = np.maximum.accumulate((low + lift)[::-1])[::-1] - lift
    # Where one rung's quotes break the rule, no clipping of its ladder's other rungs would keep the order.
    broken = np.bincount(group, weights=floor > ceiling)[group] > 0
    return np.where(broken, p, np.clip(p, floor, ceiling))


def _sum_to_at_most_one(
    p: Floats, low: Floats, high: Floats, event: NDArray[np.uint32], exclusive: NDArray[np.bool_]
) -> Floats:
    """Return the nearest values that add up to at most one in exclusive events, inside the bounds if those allow it.

    The projection shifts all of an event by one amount and clips to the bounds; bisection finds the amount for all
    events at once.
    """
    if not len(p):
        return p
    count = int(event.max()) + 1
    lows = np.bincount(event, weights=low, minlength=count)
    bottom = np.where((lows <= 1)[event], low, 0.0)
    top = np.where((lows <= 1)[event], high, 1.0)

    def shift_by(shift: Floats) -> Floats:
        return np.clip(p - shift[event], bottom, top)

    is_exclusive = np.bincount(event, weights=exclusive, minlength=count).astype(bool)
    exceeds = (np.bincount(event, weights=p, minlength=count) > 1) & is_exclusive
    small = np.zeros(count)
    large = np.where(exceeds, 1.0, 0.0)
    for _ in range(50):
        middle = (small + large) / 2
        above = np.bincount(event, weights=shift_by(middle), minlength=count) > 1
        small = np.where(above, middle, small)
        large = np.where(above, large, middle)
    return np.where(exceeds[event], shift_by(large), p)
