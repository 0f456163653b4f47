"""The account as a whole: marks, groups, rebuilt settlements, closing lines and claims."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from fairline.api.account_report import PortfolioReport
from fairline.errors import UsageError
from fairline.kalshi.portfolio import AccountRecords
from fairline.kalshi.portfolio_wire import Fill, MarketPosition, Order, PositionSettlement, Transfer
from fairline.kalshi.wire import Balance
from fairline.market.frame import MARKETS
from fairline.positions.account import attach_models, evaluate_account
from fairline.positions.archived import rebuild_settlements, unlisted_markets
from fairline.positions.claims import match_claims, models_by_ticker
from fairline.positions.closing_line import QUOTES, closing_lines, closing_value
from fairline.positions.holdings import FILLS
from fairline.positions.records import parse_fill

ASOF = datetime(2026, 8, 20, 12, tzinfo=UTC)
START = datetime(2026, 8, 19, 18, tzinfo=UTC)


def market(ticker, **fields):
    row = dict.fromkeys(MARKETS) | {"ticker": ticker, "event_ticker": ticker.rpartition("-")[0]} | fields
    return pl.DataFrame([row], schema=MARKETS, orient="row")


def position(ticker, contracts, exposure, realized="0", fees="0"):
    return MarketPosition(
        ticker=ticker, position_fp=contracts, market_exposure_dollars=exposure,
        realized_pnl_dollars=realized, fees_paid_dollars=fees,
    )  # fmt: skip


def fill(ticker, outcome, contracts, yes_price, fee="0", number="1", at=ASOF):
    return Fill(
        fill_id=number, ticker=ticker, outcome_side=outcome, count_fp=contracts, yes_price_dollars=yes_price,
        fee_cost=fee, created_time=at.isoformat(),
    )  # fmt: skip


def settlement(ticker, value, yes, cost, fee="0", at="2026-07-02T00:00:00Z"):
    return PositionSettlement(
        ticker=ticker, event_ticker=ticker.rpartition("-")[0], market_result="yes" if value else "no",
        yes_count_fp=yes, no_count_fp="0", yes_total_cost_dollars=cost, no_total_cost_dollars="0",
        value=value, revenue=0, fee_cost=fee, settled_time=at,
    )  # fmt: skip


@pytest.fixture
def records():
    return AccountRecords(
        balance=Balance(balance=8_700, balance_dollars="88.1500"),
        positions=[
            position("KXA-1-X", "10.00", "4.000000", fees="0.100000"),
            position("KXB-1-Y", "-5.00", "2.500000", realized="0.250000"),
            position("KXC-1-Z", "0.00", "0.000000", realized="-0.500000"),
        ],
        fills=[fill("KXA-1-X", "yes", "10.00", "0.4000", "0.100000"), fill("KXB-1-Y", "no", "5.00", "0.5000")],
        settlements=[settlement("KXD-1-W", 100, "3.00", "2.000000", "0.050000")],
        orders=[Order(order_id="o", ticker="KXE-1-V", outcome_side="yes", yes_price_dollars="0.2",
                      remaining_count_fp="7.00")],
        deposits=[Transfer(id="d", status="applied", amount_cents=9_405)],
    )  # fmt: skip


@pytest.fixture
def markets():
    return pl.concat([
        market("KXA-1-X", yes_bid_u=450_000, yes_ask_u=470_000, category="Sports", series_ticker="KXA"),
        market("KXB-1-Y", yes_bid_u=520_000, yes_ask_u=None, category="Politics", series_ticker="KXB"),
    ])  # fmt: skip


def test_yes_is_marked_at_the_bid_and_no_at_one_minus_the_ask(records, markets):
    quoted = markets.with_columns(yes_ask_u=pl.when(pl.col("ticker") == "KXB-1-Y").then(530_000).otherwise("yes_ask_u"))
    holdings = evaluate_account(records, quoted, asof=ASOF).holdings
    marks = dict(holdings.select("ticker", "exit_u").iter_rows())
    assert (marks["KXA-1-X"], marks["KXB-1-Y"]) == (450_000, 470_000)
    unrealized = dict(holdings.select("ticker", "unrealized_u").iter_rows())
    assert unrealized["KXA-1-X"] == 500_000
    assert unrealized["KXB-1-Y"] == 5 * 470_000 - 2_500_000


def test_a_holding_without_a_quote_to_sell_to_has_no_value_and_is_counted(records, markets):
    account = evaluate_account(records, markets, asof=ASOF)
    assert account.totals.unmarked == 1
    assert account.totals.value_u == 4_500_000


def test_totals_include_zero_positions_and_count_fees_once(records, markets):
    totals = evaluate_account(records, markets, asof=ASOF).totals
    assert totals.realized_u == (3_000_000 - 2_000_000 - 50_000) + 250_000 - 500_000 - 100_000
    assert totals.fees_u == 150_000
    assert totals.exposure_u == 6_500_000


def test_the_cash_identity_of_the_account_holds(records, markets):
    identity = evaluate_account(records, markets, asof=ASOF).identity
    assert identity.settled_u == 950_000
    assert identity.open_u == -4_000_000 - 100_000 - 2_500_000 + 250_000 - 500_000
    assert identity.expected_u == 88_150_000
    assert identity.holds


def test_a_market_with_only_a_resting_order_is_listed(records, markets):
    holdings = evaluate_account(records, markets, asof=ASOF).holdings
    row = holdings.row(by_predicate=pl.col("ticker") == "KXE-1-V", named=True)
    assert (row["side"], row["count_cc"], row["resting_yes_cc"]) == (None, 0, 700)


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ("category", {"Sports": -100_000, "Politics": 250_000, "unknown": 450_000}),
        ("event", {"KXA-1": -100_000, "KXB-1": 250_000, "KXC-1": -500_000, "KXD-1": 950_000, "KXE-1": 0}),
        ("series", {"KXA": -100_000, "KXB": 250_000, "KXC": -500_000, "KXD": 950_000, "KXE": 0}),
        ("month", {"2026-07": 950_000, "2026-08": -350_000}),
    ],
)
def test_profit_is_summed_by_group(records, markets, group, expected):
    account = evaluate_account(records, markets, asof=ASOF)
    assert dict(account.profit_by(group).select(group, "realized_u").iter_rows()) == {
        "category": expected, "event": expected, "series": expected, "month": expected,
    }[group]  # fmt: skip


def test_profit_by_model_needs_claims_and_an_unknown_group_is_refused(records, markets):
    account = evaluate_account(records, markets, asof=ASOF)
    with pytest.raises(UsageError, match="needs a store"):
        account.profit_by("model")
    with pytest.raises(UsageError, match="expected one of"):
        account.profit_by("colour")
    by_model = attach_models(account, {"KXD-1-W": "elo"}).profit_by("model")
    assert dict(by_model.select("model", "realized_u").iter_rows())["elo"] == 950_000


def test_exposure_is_summed_by_event(records, markets):
    account = evaluate_account(records, markets, asof=ASOF)
    assert account.exposure_by("event_ticker") == {"KXA-1": 4_000_000, "KXB-1": 2_500_000}


def test_a_settlement_that_is_listed_nowhere_is_rebuilt_from_fills_and_payout():
    fills = [parse_fill(fill("KXQ-1-A", "yes", "10.00", "0.3000", "0.02", "1")),
             parse_fill(fill("KXQ-1-A", "no", "4.00", "0.6000", "0.01", "2"))]  # fmt: skip
    assert unlisted_markets(fills, {"KXP-1-A"}) == ["KXQ-1-A"]
    (rebuilt,) = rebuild_settlements(fills, {"KXQ-1-A": 1_000_000})
    assert (rebuilt.yes_cc, rebuilt.no_cc, rebuilt.closed_early_cc) == (1_000, 400, 400)
    assert rebuilt.profit_u == 10_000_000 - 3_000_000 - 1_600_000 - 30_000


def test_a_settlement_that_is_listed_again_is_not_counted_twice(records, markets):
    records.fills.append(fill("KXD-1-W", "yes", "3.00", "0.6667"))
    records.payouts_u = {"KXD-1-W": 1_000_000}
    assert evaluate_account(records, markets, asof=ASOF).identity.settled_u == 950_000


def test_exposure_is_summed_by_the_day_on_which_markets_are_decided(records, markets):
    decided = markets.with_columns(decided_ts=pl.lit(ASOF))
    account = evaluate_account(records, decided, asof=ASOF)
    assert account.exposure_by("day") == {"2026-08-20": 6_500_000}


def quotes(*rows):
    return pl.DataFrame(rows, schema=QUOTES, orient="row")


def bought(ticker, side, price_u, at):
    row = dict.fromkeys(FILLS) | {
        "ticker": ticker, "side": side, "price_u": price_u, "count_cc": 100, "filled_ts": at,
    }  # fmt: skip
    return pl.DataFrame([row], schema=FILLS, orient="row")


def value_of(fills, *rows, start=START):
    starts = pl.DataFrame(
        {"ticker": ["T"], "starts_ts": [start]}, schema={"ticker": pl.String, "starts_ts": QUOTES["ts"]}
    )
    row = closing_value(fills, closing_lines(quotes(*rows), starts)).row(0, named=True)
    return row["clv_mid_cents"], row["clv_exit_cents"]


EARLY = START - timedelta(hours=5)


def test_the_closing_line_is_the_last_two_sided_quote_before_the_start():
    rows = [
        ("T", START - timedelta(hours=2), 400_000, 440_000),
        ("T", START - timedelta(minutes=5), 500_000, 520_000),
        ("T", START - timedelta(minutes=1), None, 560_000),
        ("T", START + timedelta(minutes=1), 900_000, 910_000),
    ]
    assert value_of(bought("T", "yes", 450_000, EARLY), *rows) == (6.0, 5.0)
    assert value_of(bought("T", "no", 450_000, EARLY), *rows) == (4.0, 3.0)


def test_a_fill_during_play_an_unknown_start_and_a_missing_quote_have_no_closing_value():
    row = ("T", START - timedelta(minutes=5), 500_000, 520_000)
    assert value_of(bought("T", "yes", 450_000, START + timedelta(minutes=3)), row) == (None, None)
    assert value_of(bought("T", "yes", 450_000, EARLY), row, start=None) == (None, None)
    assert value_of(bought("T", "yes", 450_000, EARLY)) == (None, None)


def test_a_fill_takes_the_last_claim_on_its_side_before_it():
    def claim(minutes, side, price_u, change="appeared"):
        return {"seen_ts": START + timedelta(minutes=minutes), "change": change, "ticker": "T", "side": side,
                "model": "elo", "price_u": price_u, "ev_u": 30_000}  # fmt: skip

    edges = pl.DataFrame([
        claim(-60, "yes", 400_000), claim(-30, "yes", 420_000), claim(-10, "no", 500_000),
        claim(-5, "yes", 300_000, "gone"), claim(5, "yes", 100_000),
    ]).with_columns(pl.col("seen_ts").cast(QUOTES["ts"]))  # fmt: skip
    matched = match_claims(bought("T", "yes", 430_000, START), edges)
    row = matched.row(0, named=True)
    assert (row["model"], row["promised_price_u"], row["slippage_u"]) == ("elo", 420_000, 10_000)
    assert models_by_ticker(matched) == {"T": "elo"}
    unclaimed = match_claims(bought("U", "yes", 430_000, START), edges).row(0, named=True)
    assert (unclaimed["model"], unclaimed["slippage_u"]) == (None, None)


def test_an_archived_position_without_fills_is_named_and_not_counted(records, markets):
    records.archived_positions = [position("KXOLD-1-A", "0.00", "0.000000", realized="5.000000")]
    account = evaluate_account(records, markets, asof=ASOF)
    texts = [str(problem) for problem in PortfolioReport(account, records, []).problems]
    assert any("1 archived positions have neither fills nor settlement, such as KXOLD-1-A" in text for text in texts)
    assert account.totals.realized_u == evaluate_account(records, markets, asof=ASOF).totals.realized_u
