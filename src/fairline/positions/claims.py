"""Which of the edges that a watch claimed were taken, and at what price compared with the promise."""

import polars as pl

TAKEN_WITHIN = "7d"
"""A fill takes the last claim on its market and side that was recorded at most this long before."""


def match_claims(fills: pl.DataFrame, edges: pl.DataFrame) -> pl.DataFrame:
    """Return the fills with `model, promised_price_u, promised_ev_u, claimed_ts, slippage_u`.

    `edges` are rows of the store's EDGES. `slippage_u` is the price paid minus the promised one, per contract, so a
    positive value is a worse price. Fills without a claim have nulls.
    """
    claims = (
        edges.filter(pl.col("change") != "gone")
        .select(
            "ticker",
            "side",
            "model",
            promised_price_u="price_u",
            promised_ev_u="ev_u",
            claimed_ts="seen_ts",
        )
        .sort("claimed_ts")
    )
    ordered = fills.sort("filled_ts")
    matched = ordered.join_asof(
        claims,
        left_on="filled_ts",
        right_on="claimed_ts",
        by=["ticker", "side"],
        strategy="backward",
        tolerance=TAKEN_WITHIN,
        check_sortedness=False,
    )
    return matched.with_columns(slippage_u=pl.col("price_u") - pl.col("promised_price_u"))


def models_by_ticker(matched: pl.DataFrame) -> dict[str, str]:
    """Return the model whose claim was taken first in each market."""
    first = matched.drop_nulls("model").sort("filled_ts").group_by("ticker", maintain_order=True).first()
    return dict(first.select("ticker", "model").iter_rows())
