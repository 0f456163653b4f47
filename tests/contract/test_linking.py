"""Links against recorded results: a link is right when the subject's real outcome settles the market as it was."""

import json
import re

import msgspec
import polars as pl
import pytest

from fairline.kalshi.wire import Market
from fairline.market.frame import MARKETS, markets_frame
from fairline.models.linking import MIN_CONFIDENCE, link, pays
from fairline.models.subjects import load_subjects


def markets(rows):
    """Recorded columns as MARKETS."""
    text = pl.col("close_time").str.replace(" ", "T").str.strip_suffix("Z")
    filled = rows.with_columns(
        close_ts=text.str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="us", time_zone="UTC"),
        market_type=pl.lit("binary"),
    )
    return filled.select(
        pl.col(name).cast(dtype) if name in filled.columns else pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in MARKETS.items()
    )


def measure(link_rows, rows, value):
    """Share of the markets that are linked, and of those the share that settles as recorded."""
    result = link_rows.filter(pl.col("confidence") >= MIN_CONFIDENCE).join(
        rows.select("ticker", "result", value=value), on="ticker"
    )
    right = result.select((pays(pl.col("value")) == (pl.col("result") == "yes")).mean()).item()
    return link_rows.filter(pl.col("confidence") >= MIN_CONFIDENCE).height / rows.height, right, result


def test_hourly_ladders_settle_as_recorded_by_the_index_they_are_linked_to(shared):
    rows = pl.read_parquet(
        shared / "kalshi_crypto_hourly_ladders_2026-07-03_12" / "ladders_with_spot_and_result.parquet"
    )
    rows = rows.unique("ticker", maintain_order=True).with_columns(
        value=pl.col("expiration_value").str.replace_all(",", "").cast(pl.Float64, strict=False)
    )
    recall, precision, result = measure(link(markets(rows)), rows, "value")
    assert result.height > 20_000
    assert recall == 1.0
    assert precision == 1.0
    assert set(result["subject"]) == {"BTC", "ETH"}


def test_quarter_hours_with_a_known_strike_settle_as_recorded(shared):
    """Without a strike, which is only set when such a market opens, there is no link."""
    rows = pl.read_csv(shared / "kalshi_btc15m_settled_2026-03-14_04-14" / "btc15m_strike_expiry_result.csv")
    rows = rows.with_columns(
        event_ticker=pl.col("ticker").str.replace(r"-[^-]+$", ""), strike_type=pl.lit("greater_or_equal"),
        value="expiration_value",
    )  # fmt: skip
    link_rows = link(markets(rows))
    reliable = link_rows.filter(pl.col("confidence") >= MIN_CONFIDENCE)
    assert (link_rows.height, reliable.height) == (1_531, rows["floor_strike"].drop_nulls().len())
    assert set(link_rows["reason"].drop_nulls()) == {"a strike is missing"}
    known = reliable.join(rows.drop_nulls("value").select("ticker", "result", "value"), on="ticker")
    assert known.height == 736
    assert known.select((pays(pl.col("value")) == (pl.col("result") == "yes")).all()).item()


def test_daily_temperatures_settle_as_recorded_by_linked_station_and_day(shared):
    rows = pl.read_csv(shared / "kalshi_weather_nyc_high_candles_2026-02_03" / "markets.csv")
    # Rules of early 2026 named the place, not the climate report.
    assert rows["rules_primary"].str.contains("(in Central Park, New York|at New York City) for").all()
    link_rows = link(markets(rows.with_columns(rules_station=pl.lit("NYC"))))
    # The official record that lies beside the recordings ends before them. But the market that ended YES says between
    # which whole degrees the day's extreme lay, and all others of that station and day must agree with it.
    result = link_rows.join(rows.select("ticker", "result"), on="ticker").filter(pl.col("confidence") >= MIN_CONFIDENCE)
    assert result.height == rows.height
    agreed = 0
    for _, day in result.group_by("kind", "day"):
        yes = day.filter(pl.col("result") == "yes")
        assert yes.height == 1
        low, high = yes["low"][0], yes["high"][0]
        inside = (low + (1 if yes["low_open"][0] else 0)) if low is not None else high - 1
        right = pays(pl.col("value")) == (pl.col("result") == "yes")
        agreed += day.with_columns(value=pl.lit(inside)).select(right.sum()).item()
    assert agreed == result.height


def test_standard_days_agree_with_closing_times_in_twenty_cities(shared):
    """Return of books of July 2026, which came without rules: with the station that the series is known by in them."""
    path = shared / "kalshi_orderbook_depth_2026-07" / "weather_orderbooks_2026-07-24.jsonl"
    rows = pl.read_ndjson(path, infer_schema_length=None).filter(pl.col("group") == "daily")
    rows = rows.with_columns(event_ticker=pl.col("ticker").str.replace(r"-[^-]+$", ""), series_ticker="series")
    known = {name: f"{subject.subject[1:]}" for name, subject in load_subjects().items() if subject.kind != "price"}
    named = rows.with_columns(rules_station=pl.col("series").replace_strict(known, default=None))
    link_rows = link(markets(named.unique("ticker")))
    assert link_rows["subject"].n_unique() == 20
    assert link_rows.filter(pl.col("confidence") < MIN_CONFIDENCE).is_empty()
    assert link_rows["ticker"].n_unique() == rows.filter(pl.col("series").is_in(list(known)))["ticker"].n_unique()
    assert link(markets(rows.unique("ticker")))["reason"].unique().to_list() == ["the rules name no station"]


def test_stations_match_the_settlement_sources_of_their_series(shared):
    path = shared / "kalshi_api_recorded_2026-01_cents_and_dollars" / "series_list_response.json"
    named = {}
    for series in json.loads(path.read_bytes())["response"]["series"]:
        for source in series.get("settlement_sources") or ():
            if match := re.search(r"product=CLI&issuedby=([A-Z]{3})$", source["url"]):
                named[series["ticker"]] = match[1]
    known = {name: subject.subject[1:] for name, subject in load_subjects().items() if name in named}
    assert len(known) == 7
    assert known == {name: named[name] for name in known}


@pytest.mark.parametrize("moment", ["20260710T182345Z", "20260710T192344Z"])
def test_outcome_and_rules_of_hourly_ladders_confirm_their_links(shared, moment):
    lines = (shared / "kalshi_markets_raw_2026-07-10" / f"crypto_hourly_{moment}.jsonl").read_text().splitlines()
    frame, rejected = markets_frame([msgspec.json.decode(line, type=Market) for line in lines])
    assert not rejected
    link_rows = link(frame)
    assert (frame.height, link_rows.height) == (263, 263)
    assert link_rows.filter(pl.col("reason").is_not_null()).is_empty()
    assert set(link_rows["evidence"]) == {"series, strikes, closing time, ticker, outcome, rules"}
    assert frame["rules_day"].null_count() == 0
    assert (link_rows["confidence"] >= MIN_CONFIDENCE).all()
    moved = frame.with_columns(rules_day=pl.col("rules_day").dt.offset_by("1d"))
    assert link(moved)["confidence"].max() == 0
