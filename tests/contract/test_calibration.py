"""Whether what prices have meant beats the price on recorded games: said as it is."""

import polars as pl

from fairline.scoring.calibration import fit_curve


def test_a_curve_does_not_beat_the_price_of_baseball(shared):
    rows = pl.read_csv(shared / "kalshi_mlb_games_close_price_2025" / "kalshi_mlb_games.csv")
    rows = rows.filter(pl.col("result").is_in(["yes", "no"])).select(
        event_ticker="event", price="close_mid", y=(pl.col("result") == "yes").cast(pl.Float64)
    )
    curve = fit_curve(rows.filter(pl.col("price").is_between(0.01, 0.99)))
    assert curve.events > 2_000
    assert not curve.beats_price


def test_a_curve_does_not_beat_sports_quotes_either(shared):
    rows = pl.read_csv(shared / "kalshi_sports_price_history_and_result_2026-07" / "quotes.csv.gz")
    early = rows.filter((pl.col("hours_to_close") >= 5) & pl.col("result").is_in(["yes", "no"]))
    last = early.sort("hours_to_close").unique("ticker", keep="first", maintain_order=True)
    middle = (pl.col("yes_bid") + pl.col("yes_ask")) / 2
    curve = fit_curve(last.select("event_ticker", price=middle, y=(pl.col("result") == "yes").cast(pl.Float64)))
    assert not curve.beats_price
