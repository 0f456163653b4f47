"""An account that trades on the simulated exchange, read and checked against the truth."""

import asyncio
from datetime import UTC, datetime

import msgspec
import pytest
import requests
from cryptography.hazmat.primitives import serialization

import fairline
from fairline.api import account as api_account
from fairline.api.account_report import PortfolioReport
from fairline.kalshi import ApiKeyAuth, Kalshi, Rate, TokenBucket, Transport, parse_private_key
from fairline.kalshi.portfolio import AccountRecords, read_account
from fairline.kalshi.wire import Balance
from fairline.market.frame import empty_markets
from fairline.positions.account import evaluate_account
from fairline.positions.fee_fit import FeeTerms, fit_fees
from fairline.positions.lots import build_lots
from fairline.positions.reconcile import cash_identity, compare_positions, sum_transfers
from fairline.positions.records import dollars_u, parse_fill, parse_order, parse_position, parse_settlement
from fairline.sim import Exchange, Fault, Key
from fairline.sim.catalog import WorldCatalog
from fairline.sim.world import World


@pytest.fixture(scope="module")
def public(rsa_pem):
    return serialization.load_pem_private_key(rsa_pem.encode(), None).public_key()


@pytest.fixture(scope="module")
def trading(public):
    world = World(1_500, combos=60, past=600, moves=10, seed=31)
    with Exchange(catalog=WorldCatalog(world), keys=[Key("trader", public, trader_seed=3)]) as exchange:
        yield exchange


def read(exchange, rsa_pem, **options):
    async def call():
        auth = ApiKeyAuth("trader", parse_private_key(rsa_pem))
        transport = Transport(exchange.url, auth=auth, bucket=TokenBucket(Rate(1e9, 1e9)))
        async with Kalshi(transport) as kalshi:
            return await read_account(kalshi.portfolio, **options)

    return asyncio.run(call())


def truth(exchange):
    return requests.get(f"{exchange.root}/sim/account?key_id=trader", timeout=20).json()


def identity(records):
    return cash_identity(
        dollars_u(records.balance.dollars),
        map(parse_position, records.positions),
        map(parse_settlement, records.settlements),
        sum_transfers(records.subaccount, records.deposits, records.withdrawals, records.subaccount_transfers),
        map(parse_order, records.orders),
    )


@pytest.mark.parametrize("subaccount", [0, 1])
def test_positions_profit_and_cash_are_the_truth(trading, rsa_pem, subaccount):
    records = read(trading, rsa_pem, subaccount=subaccount)
    expected = truth(trading)
    assert records.complete
    assert len(records.fills) > 2
    own = {row["ticker"]: row for row in expected["markets"] if row["subaccount"] == subaccount}
    lots = build_lots(map(parse_fill, records.fills))
    for position in map(parse_position, records.positions):
        assert position.count_cc == round(own[position.ticker]["position"] * 100)
        assert position.exposure_u == round(own[position.ticker]["cost"] * 1e6)
    assert not compare_positions(map(parse_position, records.positions), lots)
    for ticker, row in own.items():
        assert lots[ticker].realized_u == round(row["realized"] * 1e6)
        assert lots[ticker].fees_u == round(row["fees"] * 1e6)
    settled = {row.ticker: row.profit_u for row in map(parse_settlement, records.settlements)}
    assert settled or subaccount == 1
    for ticker, profit_u in settled.items():
        assert profit_u == round(own[ticker]["settled_profit"] * 1e6)
    assert dollars_u(records.balance.dollars) == round(expected["cash"][str(subaccount)] * 1e6, -2)


def test_every_request_names_its_subaccount_so_that_the_report_adds_up(trading, rsa_pem):
    primary = read(trading, rsa_pem, subaccount=0)
    second = read(trading, rsa_pem, subaccount=1)
    assert {fill.subaccount_number for fill in primary.fills} == {0}
    assert {fill.subaccount_number for fill in second.fills} == {1}
    archived = sum(
        row["settled_profit"] for row in truth(trading)["markets"]
        if row["subaccount"] == 0 and row["settled_profit"] is not None
        and row["ticker"] not in {settlement.ticker for settlement in primary.settlements}
    )  # fmt: skip
    # Settlements in the archive appear nowhere: the identity shows exactly their profit as its difference.
    assert identity(primary).difference_u == pytest.approx(archived * 1e6, abs=100)


def test_the_cash_identity_holds_where_nothing_is_archived(public, rsa_pem):
    clock = [0.0]
    world = World(1_200, past=0, moves=20, speed=3_600, seed=33, clock=lambda: clock[0])
    with Exchange(catalog=WorldCatalog(world), keys=[Key("trader", public, trader_seed=5)]) as exchange:
        for hour in (0.0, 2.0, 30.0):
            clock[0] = hour
            records = read(exchange, rsa_pem)
            assert identity(records).difference_u == pytest.approx(0, abs=100)
        assert any(order.remaining for order in records.orders)


def test_the_account_changes_as_orders_fill_and_markets_settle(public, rsa_pem):
    clock = [0.0]
    world = World(1_200, past=0, moves=20, speed=3_600, seed=33, clock=lambda: clock[0])
    with Exchange(catalog=WorldCatalog(world), keys=[Key("trader", public, trader_seed=5)]) as exchange:
        before = read(exchange, rsa_pem)
        for hour in (5, 24 * 8):
            clock[0] = hour
            requests.get(f"{exchange.url}/markets?limit=1", timeout=20)
            after = read(exchange, rsa_pem, known=before, transfers=True)
            assert identity(after).difference_u == pytest.approx(0, abs=100)
    assert len(after.fills) > len(before.fills)
    assert len(after.settlements) > len(before.settlements)


def test_a_refresh_of_a_known_account_costs_at_most_six_requests(trading, rsa_pem):
    known = read(trading, rsa_pem)
    refreshed = read(trading, rsa_pem, known=known, transfers=False)
    assert refreshed.requests <= 6
    assert sorted(fill.fill_id for fill in refreshed.fills) == sorted(fill.fill_id for fill in known.fills)


def test_fills_that_vanish_from_the_live_endpoint_stay_known(trading, rsa_pem):
    known = read(trading, rsa_pem)
    archived = [fill for fill in known.fills if fill.at.timestamp() * 1e6 < trading.backend.catalog.cutoff_us]
    assert archived
    refreshed = read(trading, rsa_pem, known=known, transfers=False)
    assert {fill.fill_id for fill in archived} <= {fill.fill_id for fill in refreshed.fills}


def test_a_missing_scope_is_named_and_the_rest_is_read(trading, rsa_pem, public):
    trading.register(Key("trader", public, trader_seed=3, scopes=("read::portfolio_balance",)))
    records = read(trading, rsa_pem)
    trading.register(Key("trader", public, trader_seed=3))
    assert records.balance is not None
    assert not records.complete
    assert {missing.part for missing in records.missing} >= {"positions", "fills", "settlements", "resting orders"}
    assert "not permitted" in str(records.missing[0])


def test_the_fees_of_the_simulated_account_prove_their_rounding(trading, rsa_pem):
    world = trading.world
    terms = {s.ticker: FeeTerms(s.family.fee_type, s.family.fee_multiplier) for s in world.series}
    overridden = {event.ticker for event in world.events if event.fee_override}
    fills = [fill for fill in map(parse_fill, read(trading, rsa_pem).fills)
             if fill.ticker.rpartition("-")[0] not in overridden]  # fmt: skip
    fit = fit_fees(fills, terms)
    assert fit.policy.name == "order-centicent"
    assert fit.fits[0].exact == fit.fills > 10


def test_a_fault_on_the_way_is_retried_and_changes_nothing(trading, rsa_pem):
    calm = read(trading, rsa_pem)
    trading.faults.set(Fault("500", 0.3))
    stormy = read(trading, rsa_pem)
    trading.faults.set()
    assert {fill.fill_id for fill in stormy.fills} == {fill.fill_id for fill in calm.fills}


@pytest.fixture
def signed(trading, rsa_pem, tmp_path):
    """Return the options that sign in to the trading account."""
    key_file = tmp_path / "key.pem"
    key_file.write_text(rsa_pem)
    key_file.chmod(0o600)
    return {"exchange": trading.url, "key_id": "trader", "key_file": str(key_file)}


def test_the_library_shows_the_account_and_its_cash_adds_up(trading, signed):
    report = fairline.portfolio(**signed, history=True)
    expected = truth(trading)
    assert report.complete
    assert report.identity.difference_u == pytest.approx(0, abs=100)
    assert report.totals["cash"] == pytest.approx(expected["cash"]["0"], abs=1e-4)
    own = [row for row in expected["markets"] if row["subaccount"] == 0]
    realized = sum(row["settled_profit"] if row["settled_profit"] is not None else row["realized"] - row["fees"]
                   for row in own)  # fmt: skip
    assert report.totals["realized"] == pytest.approx(realized, abs=1e-6)
    for group in ("category", "event", "series", "month"):
        assert report.by(group)["realized"].sum() == pytest.approx(realized, abs=1e-6)
    assert not report.problems
    html = report._repr_html_()
    assert report.positions["ticker"][0] in html
    assert "The balance adds up" in html
    shown = f"{report!r} {report.account!r} {report._records!r}"
    assert not any(ticker in shown for ticker in report.positions["ticker"]), "a log must not show what is held"


def test_the_closing_line_of_a_game_is_the_quote_before_it_began(trading, signed):
    report = fairline.portfolio(**signed, clv=True)
    valued = report.clv.drop_nulls("clv_mid_cents")
    assert valued.height
    assert (valued["line_at"] < valued["starts_at"]).all()
    assert (valued["filled_at"] < valued["starts_at"]).all()
    assert (valued["clv_mid_cents"] > valued["clv_exit_cents"]).all()
    assert report.clv_interval().n == valued.height


def test_a_refresh_of_10000_known_fills_costs_at_most_six_requests(trading, rsa_pem):
    known = read(trading, rsa_pem)
    oldest = min(known.fills, key=lambda fill: fill.ts)
    known.fills += [
        msgspec.structs.replace(oldest, fill_id=f"old-{number}", ts=oldest.ts - number, created_time=None)
        for number in range(10_000)
    ]
    refreshed = read(trading, rsa_pem, known=known, transfers=False)
    assert refreshed.requests <= 6
    assert len(refreshed.fills) == len(known.fills)


def test_positions_that_are_valued_but_not_listed_are_a_problem():
    records = AccountRecords(balance=Balance(balance=100, portfolio_value=502))
    account = evaluate_account(records, empty_markets(), asof=datetime(2026, 8, 1, tzinfo=UTC))
    (problem,) = PortfolioReport(account, records, []).problems[1:]
    assert "values positions at $5.02 but lists none" in str(problem)


def test_positions_that_lag_their_fills_are_read_again_before_anything_is_reported(trading, signed, monkeypatch):
    monkeypatch.setattr(api_account, "SETTLING_S", 0.0)
    # Positions are read twice, unsettled and archived; the newest fill of this account is in an open market.
    trading.faults.set(Fault("late-positions", 1.0, 2))
    report = fairline.portfolio(**signed)
    struck = dict(trading.faults.struck)
    trading.faults.set()
    assert struck == {"late-positions": 2}
    assert not report.problems
    trading.faults.set(Fault("late-positions"))
    late = fairline.portfolio(**signed)
    trading.faults.set()
    texts = [str(problem) for problem in late.problems]
    assert any("the newest are not in the position yet" in text for text in texts)
    assert any("the balance differs from the records" in text for text in texts)
