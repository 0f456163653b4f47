"""Locked trades against every outcome that the rules allow; coherent prices inside the quotes."""

from datetime import UTC, datetime

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairline.market.frame import MARKETS
from fairline.pricing.coherence import ASSUMED, LOCKED, violations

NOW = datetime(2026, 11, 22, tzinfo=UTC)
USUAL = {
    "status": "active", "market_type": "binary", "event_ticker": "E", "mutually_exclusive": False,
    "yes_bid_size_cc": 10_000, "yes_ask_size_cc": 10_000, "close_ts": datetime(2027, 1, 1, tzinfo=UTC),
    "fee_type": "quadratic", "fee_multiplier_m": 10_000,
}  # fmt: skip


def markets(*rows):
    whole = [dict.fromkeys(MARKETS) | USUAL | {"ticker": f"M{i}"} | row for i, row in enumerate(rows)]
    return pl.DataFrame(whole, schema=MARKETS, orient="row")


def quote(bid, ask, **more):
    return {"yes_bid_u": bid and bid * 10_000, "yes_ask_u": ask and ask * 10_000} | more


def find(*rows):
    return violations(markets(*rows), asof=NOW)


def test_a_ladder_out_of_order_is_a_trade_of_the_wider_against_the_narrower_strike():
    above = {"strike_type": "greater"}
    (result,) = find(
        quote(20, 30, floor_strike=100.0, **above), quote(45, 50, floor_strike=110.0, yes_bid_size_cc=2_000, **above)
    ).to_dicts()
    # YES above 100 at 30 cents and NO above 110 at 55: 85 cents for a dollar, 20 of each.
    assert (result["kind"], result["certainty"], result["needs"], result["size_cc"]) == ("ladder", LOCKED, "", 2_000)
    assert (result["cost_u"], result["payoff_u"]) == (17_000_000, 20_000_000)
    assert {leg["ticker"]: leg["side"] for leg in result["legs"]} == {"M0": "yes", "M1": "no"}
    assert result["profit_u"] == 3_000_000 - result["fee_u"] > 0


def test_a_violation_smaller_than_its_fees_has_a_negative_profit():
    above = {"strike_type": "greater"}
    (result,) = find(quote(48, 49, floor_strike=1.0, **above), quote(50, 55, floor_strike=2.0, **above)).to_dicts()
    assert result["profit_u"] < 0 < result["payoff_u"] - result["cost_u"]


def test_ladders_in_order_and_of_different_events_or_directions_are_no_violations():
    above, below = {"strike_type": "greater"}, {"strike_type": "less"}
    assert find(quote(60, 70, floor_strike=1.0, **above), quote(50, 60, floor_strike=2.0, **above)).is_empty()
    other = {"event_ticker": "OTHER"}
    assert find(quote(20, 30, floor_strike=1.0, **above), quote(50, 60, floor_strike=2.0, **above, **other)).is_empty()
    assert find(quote(20, 30, floor_strike=2.0, **above), quote(50, 60, cap_strike=1.0, **below)).is_empty()
    assert find(quote(20, 30, cap_strike=1.0, **below), quote(50, 60, cap_strike=2.0, **below)).is_empty()


def test_no_of_all_markets_of_an_exclusive_event_is_locked_and_yes_of_all_only_assumed():
    exclusive = {"mutually_exclusive": True}
    (no,) = find(*(quote(40, 45, **exclusive) for _ in range(3))).to_dicts()
    assert (no["kind"], no["certainty"]) == ("partition", LOCKED)
    assert no["payoff_u"] - no["cost_u"] == 100 * 200_000, "three bids of 40 cents are 20 cents above a dollar"
    (yes,) = find(*(quote(20, 25, **exclusive) for _ in range(3))).to_dicts()
    assert (yes["kind"], yes["certainty"]) == ("partition", ASSUMED)
    assert "settles YES" in yes["needs"]
    assert find(*(quote(40, 45) for _ in range(3))).is_empty(), "not exclusive"
    assert find(quote(20, 25, **exclusive), quote(20, None, **exclusive)).is_empty(), "one cannot be bought"


def test_a_thin_leg_is_left_out_of_a_basket_if_the_rest_is_worth_more():
    exclusive = {"mutually_exclusive": True}
    thin = quote(2, 5, yes_bid_size_cc=100, **exclusive)
    (result,) = find(quote(60, 65, **exclusive), quote(60, 65, **exclusive), thin).to_dicts()
    assert {leg["ticker"] for leg in result["legs"]} == {"M0", "M1"}
    assert result["size_cc"] == 10_000


def test_a_crossed_market_is_a_complement():
    (result,) = find(quote(60, 50)).to_dicts()
    assert (result["kind"], result["certainty"], result["payoff_u"] - result["cost_u"]) == (
        "complement",
        LOCKED,
        10_000_000,
    )


@pytest.mark.parametrize("row", [{"status": "closed"}, {"market_type": "scalar"}, {"close_ts": NOW}])
def test_markets_that_cannot_be_traded_are_ignored(row):
    assert find(quote(60, 50, **row)).is_empty()


prices = st.tuples(st.integers(1, 97), st.integers(1, 40)).map(lambda pair: (pair[0], min(99, pair[0] + pair[1])))
sizes = st.integers(1, 20_000)
relaxed = settings(deadline=None, suppress_health_check=list(HealthCheck))


@given(st.lists(st.tuples(prices, sizes, sizes), min_size=2, max_size=6), st.booleans())
@relaxed
def test_locked_trades_pay_at_least_their_payoff_in_every_outcome(rows, ladder):
    n = len(rows)
    kind = [
        {"strike_type": "greater", "floor_strike": float(i)} if ladder else {"mutually_exclusive": True}
        for i in range(n)
    ]
    result = find(*(
        quote(*two, yes_bid_size_cc=b, yes_ask_size_cc=a, **more) for (two, b, a), more in zip(rows, kind, strict=True)
    ))  # fmt: skip
    # Every outcome that the rules allow: the value lies between two strikes, or one market wins, or none does.
    outcomes = (
        [{f"M{i}" for i in range(k)} for k in range(n + 1)] if ladder else [set(), *({f"M{i}"} for i in range(n))]
    )
    for trade in result.filter(pl.col("certainty") == LOCKED).to_dicts():
        returns = [
            sum((leg["ticker"] in winners) == (leg["side"] == "yes") for leg in trade["legs"])
            * trade["size_cc"]
            * 10_000
            for winners in outcomes
        ]
        assert min(returns) == trade["payoff_u"]
        cost = sum(leg["price_u"] * trade["size_cc"] for leg in trade["legs"]) / 100
        assert cost <= trade["cost_u"] < cost + 1
        assert trade["fee_u"] == sum(leg["fee_u"] for leg in trade["legs"])
        assert trade["profit_u"] == trade["payoff_u"] - trade["cost_u"] - trade["fee_u"]


ABOVE, BELOW, BETWEEN = ({"strike_type": kind} for kind in ("greater", "less", "between"))
OR_MORE, OR_LESS = {"strike_type": "greater_or_equal"}, {"strike_type": "less_or_equal"}


@pytest.mark.parametrize(
    ("first", "second", "sides"),
    [
        # One of the two must pay: above 100, or at 100 and below.
        (quote(10, 22, floor_strike=100.0, **ABOVE), quote(10, 22, cap_strike=100.0, **OR_LESS), ("yes", "yes")),
        (quote(10, 22, floor_strike=90.0, **ABOVE), quote(10, 22, cap_strike=110.0, **BELOW), ("yes", "yes")),
        # At most one of the two can pay.
        (quote(60, 70, floor_strike=100.0, **ABOVE), quote(60, 70, cap_strike=100.0, **BELOW), ("no", "no")),
        # Between 110 and 120 is above 100, and below 130.
        (quote(20, 30, floor_strike=100.0, **ABOVE), quote(45, 50, floor_strike=110.0, cap_strike=120.0, **BETWEEN),
         ("yes", "no")),
        (quote(20, 30, cap_strike=130.0, **BELOW), quote(45, 50, floor_strike=110.0, cap_strike=120.0, **BETWEEN),
         ("yes", "no")),
        # ... and neither can pay with what lies beyond.
        (quote(60, 70, floor_strike=120.0, **ABOVE), quote(60, 70, floor_strike=110.0, cap_strike=120.0, **BETWEEN),
         ("no", "no")),
        # The same strike twice, whichever comes first.
        (quote(50, 55, floor_strike=100.0, **ABOVE), quote(20, 30, floor_strike=100.0, **ABOVE), ("no", "yes")),
        (quote(20, 30, floor_strike=100.0, **ABOVE), quote(50, 55, floor_strike=100.0, **ABOVE), ("yes", "no")),
        (quote(20, 30, floor_strike=1e8, **OR_MORE), quote(45, 50, floor_strike=1e8, **ABOVE), ("yes", "no")),
    ],
)  # fmt: skip
def test_strikes_are_intervals_on_one_axis(first, second, sides):
    (result,) = find(first, second).to_dicts()
    assert (result["kind"], result["certainty"]) == ("ladder", LOCKED)
    assert {leg["ticker"]: leg["side"] for leg in result["legs"]} == {"M0": sides[0], "M1": sides[1]}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        # At 100 exactly neither pays: nothing is locked.
        (quote(10, 22, floor_strike=100.0, **ABOVE), quote(10, 22, cap_strike=100.0, **BELOW)),
        # At 100 exactly both pay.
        (quote(60, 70, floor_strike=100.0, **OR_MORE), quote(60, 70, cap_strike=100.0, **OR_LESS)),
        # What pays above 1e8 does not pay at it, however large the number.
        (quote(20, 30, floor_strike=1e8, **ABOVE), quote(45, 50, floor_strike=1e8, **OR_MORE)),
        (quote(20, 30, floor_strike=115.0, **ABOVE), quote(45, 50, floor_strike=110.0, cap_strike=120.0, **BETWEEN)),
    ],
)  # fmt: skip
def test_a_trade_that_can_lose_is_not_locked(first, second):
    assert find(first, second).is_empty()


def test_a_range_that_is_too_expensive_on_both_sides_is_two_trades():
    result = find(
        quote(15, 20, floor_strike=100.0, **ABOVE), quote(15, 20, cap_strike=130.0, **BELOW),
        quote(45, 50, floor_strike=110.0, cap_strike=120.0, **BETWEEN),
    )  # fmt: skip
    with_it = [row for row in result.to_dicts() if any(leg["ticker"] == "M2" for leg in row["legs"])]
    assert [len(row["legs"]) for row in with_it] == [2, 2]
    assert {leg["ticker"] for row in with_it for leg in row["legs"]} == {"M0", "M1", "M2"}


def test_a_tiny_offer_at_the_best_price_does_not_hide_a_large_one():
    tiny = quote(20, 30, floor_strike=90.0, yes_ask_size_cc=1, **ABOVE)
    (result,) = find(
        tiny, quote(20, 31, floor_strike=100.0, **ABOVE), quote(60, 65, floor_strike=110.0, **ABOVE)
    ).to_dicts()
    assert {leg["ticker"] for leg in result["legs"]} == {"M1", "M2"}
    assert result["profit_u"] > 20_000_000


def test_a_yes_basket_needs_every_listed_market():
    me = {"mutually_exclusive": True}
    two = quote(10, 20, **me), quote(20, 30, **me)
    assert find(*two).row(0, named=True)["needs"] == "one of these 2 markets settles YES"
    assert find(*two, quote(40, 60, status="inactive", **me)).filter(certainty="assumed").is_empty()


def test_recorded_price_ranges_break_the_rule_four_times_and_three_times_after_fees(shared):
    """77,097 rungs in 585 snapshots of ranges that exclude each other. Sizes were not recorded: 100 are assumed."""
    folder = shared / "kalshi_crypto_hourly_ladders_2026-07-03_12"
    recorded = pl.read_parquet(folder / "ladders_with_spot_and_result.parquet")
    shot = pl.concat_str("event_ticker", "captured_at", separator=" ")
    usual = {
        n: pl.lit(v) for n, v in USUAL.items() if n not in ("event_ticker", "mutually_exclusive", "fee_multiplier_m")
    }

    def micro_price(name):
        micro = (pl.col(name) * 1e6).round().cast(pl.Int64)
        return pl.when(micro.is_between(1, 999_999)).then(micro)

    result = recorded.select(
        "strike_type", "floor_strike", "cap_strike", ticker=pl.concat_str("ticker", shot, separator=" "),
        event_ticker=shot,
        yes_bid_u=micro_price("yes_bid"), yes_ask_u=micro_price("yes_ask"), mutually_exclusive=pl.lit(value=True),
        fee_multiplier_m=pl.lit(10_000), **usual,
    )  # fmt: skip
    missing = [pl.lit(None, dtype=dtype).alias(name) for name, dtype in MARKETS.items() if name not in result.columns]
    frame = result.with_columns(missing).select(pl.col(n).cast(t) for n, t in MARKETS.items())
    result = violations(frame, asof=NOW)
    bids = frame.group_by("event_ticker").agg(pl.col("yes_bid_u").sum())
    assert (frame.height, bids.height) == (77_097, 585)
    assert set(result["kind"]) == {"partition"}
    broken = bids.filter(pl.col("yes_bid_u") > 1_000_000).height
    assert result.height == broken == 4
    assert result.filter(pl.col("profit_u") > 0).height == 3
    assert set(result["certainty"]) == {LOCKED}
