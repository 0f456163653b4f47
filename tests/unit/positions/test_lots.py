"""Netting, lots and realised profit."""

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from fairline.positions.lots import build_lots
from fairline.positions.records import Fill

NOON = datetime(2026, 7, 6, 12, tzinfo=UTC)


def fills(*rows):
    """Return fills, the newest first, from (direction, contracts, price in cents, fee in micro-dollars)."""
    oldest_first = [
        Fill(str(i), "KXT-1-A", "o", direction, count * 100, cents * 10_000, fee, True, NOON + timedelta(seconds=i))
        for i, (direction, count, cents, fee) in enumerate(rows)
    ]
    return oldest_first[::-1]


def market(*rows):
    return build_lots(fills(*rows))["KXT-1-A"]


def test_a_position_is_one_signed_number():
    assert market(("yes", 3, 40, 0), ("no", 5, 55, 0)).count_cc == -200


def test_every_pair_pays_a_dollar_at_once():
    closed = market(("yes", 1, 48, 0), ("no", 1, 48, 0))
    assert (closed.count_cc, closed.exposure_u, closed.realized_u, closed.cash_u) == (0, 0, 40_000, 40_000)


def test_closing_more_than_is_held_opens_the_other_side():
    turned = market(("no", 2, 30, 0), ("yes", 5, 60, 0))
    assert turned.count_cc == 300
    assert turned.exposure_u == 1_800_000
    assert turned.realized_u == 2 * (1_000_000 - 300_000 - 600_000)


def test_the_oldest_lot_is_closed_first():
    partly = market(("yes", 2, 20, 0), ("yes", 2, 60, 0), ("no", 3, 50, 0))
    assert [closed.open_price_u for closed in partly.closed] == [200_000, 600_000]
    assert partly.realized_u == 2 * 300_000 - 100_000
    assert partly.exposure_u == 600_000


def test_fees_are_counted_once_and_shared_between_what_was_closed_and_what_is_held():
    partly = market(("yes", 4, 50, 40_000), ("no", 1, 50, 7_000))
    assert partly.fees_u == 47_000
    assert partly.closed[0].fee_u == 10_000 + 7_000
    assert partly.lots[0].fee_u == 30_000


rows = st.lists(
    st.tuples(st.sampled_from(["yes", "no"]), st.integers(1, 500), st.integers(0, 100), st.integers(0, 99_999)),
    min_size=1,
    max_size=30,
)


@settings(deadline=None)
@given(rows)
def test_cash_is_what_the_contracts_cost_and_what_the_pairs_paid(rows):
    state = market(*rows)
    paid = sum(count * cents * 10_000 + fee for _, count, cents, fee in rows)
    counts = {side: sum(count for direction, count, _, _ in rows if direction == side) for side in ("yes", "no")}
    pairs = min(counts.values())
    assert state.count_cc == 100 * (counts["yes"] - counts["no"])
    assert state.cash_u == pairs * 1_000_000 - paid
    assert state.cash_u == state.realized_u - state.exposure_u - state.fees_u
    assert state.fees_u == sum(closed.fee_u for closed in state.closed) + sum(lot.fee_u for lot in state.lots)
    assert len({lot.direction for lot in state.lots}) <= 1


@settings(deadline=None)
@given(rows)
def test_the_gross_settlement_identity_gives_the_same_profit_as_the_cash(rows):
    state = market(*rows)
    for value in (0, 370_000, 1_000_000):
        gross = 0
        for direction, count, cents, fee in rows:
            payout = value if direction == "yes" else 1_000_000 - value
            gross += count * (payout - cents * 10_000) - fee
        held = state.count_cc // 100
        assert state.cash_u + (held * value if held > 0 else -held * (1_000_000 - value)) == gross
