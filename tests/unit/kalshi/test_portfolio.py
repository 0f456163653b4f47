"""Reading an account: paging, merging, and what a key may not read."""

import pytest

from fairline.kalshi.decoding import Page
from fairline.kalshi.errors import AuthError, NotFoundError
from fairline.kalshi.portfolio import AccountRecords, read_account, read_account_state
from fairline.kalshi.portfolio_wire import Fill, MarketPosition, PositionSettlement
from fairline.kalshi.wire import Balance


def fill(number, *, ts=1_000, outcome="yes", subaccount=0):
    return Fill(fill_id=str(number), ticker="KXT-1-A", outcome_side=outcome, count_fp="1.00", yes_price_dollars="0.5",
                ts=ts, subaccount_number=subaccount)  # fmt: skip


def page(*rows, cursor=None):
    return Page(list(rows), [], cursor)


class Account:
    """An account whose listings are given as pages; a page is found by the cursor that leads to it."""

    def __init__(self, **listings):
        self.listings = listings
        self.asked = []

    async def balance(self, subaccount=None):
        self.asked.append(("balance", subaccount))
        return Balance(balance=100, balance_dollars="1.0000")

    def _read(self, name, subaccount, cursor):
        self.asked.append((name, subaccount))
        answer = self.listings.get(name, page())
        if isinstance(answer, Exception):
            raise answer
        return answer[cursor] if isinstance(answer, dict) else answer

    async def positions(self, *, subaccount=0, settlement_status="unsettled", cursor=None):
        return self._read("positions", subaccount, cursor)

    async def archived_positions(self, *, subaccount=0, cursor=None):
        return self._read("archived_positions", subaccount, cursor)

    async def resting_orders(self, *, subaccount=0, cursor=None):
        return self._read("orders", subaccount, cursor)

    async def fills(self, *, subaccount=0, min_ts=None, cursor=None, archived=False):
        self.min_ts = min_ts
        return self._read("archived_fills" if archived else "fills", subaccount, cursor)

    async def settlements(self, *, subaccount=0, min_ts=None, cursor=None):
        return self._read("settlements", subaccount, cursor)

    async def deposits(self, cursor=None):
        return self._read("deposits", None, cursor)

    async def withdrawals(self, cursor=None):
        return self._read("withdrawals", None, cursor)

    async def subaccount_transfers(self, cursor=None):
        return self._read("transfers", None, cursor)


async def test_every_listing_is_read_to_its_end_and_names_its_subaccount():
    account = Account(fills={None: page(fill(1), cursor="a"), "a": page(fill(2), cursor="b"), "b": page(fill(3))})
    records = await read_account(account, subaccount=0)
    assert [each.fill_id for each in records.fills] == ["1", "2", "3"]
    assert records.complete
    assert {number for name, number in account.asked if name not in ("deposits", "withdrawals", "transfers")} == {0}


async def test_a_wrong_cursor_that_is_answered_with_the_first_page_ends_the_reading_and_is_named():
    first = page(fill(1), fill(2), cursor="again")
    records = await read_account(Account(fills={None: first, "again": first}))
    assert [each.fill_id for each in records.fills] == ["1", "2"]
    assert [str(missing) for missing in records.missing] == ["fills: the exchange repeated a page"]


async def test_both_parties_of_a_trade_share_its_fill_id_and_stay_two_fills():
    records = await read_account(Account(fills=page(fill(1, outcome="yes"), fill(1, outcome="no"))))
    assert [each.direction for each in records.fills] == ["yes", "no"]


async def test_fills_of_other_subaccounts_from_an_archive_that_ignores_the_parameter_are_left_out():
    records = await read_account(Account(archived_fills=page(fill(1, subaccount=3), fill(2, subaccount=None), fill(3))))
    assert [each.fill_id for each in records.fills] == ["2", "3"]


async def test_a_refresh_asks_for_newer_fills_with_an_overlap_and_keeps_the_known_ones():
    known = AccountRecords(fills=[fill(1, ts=5_000), fill(2, ts=9_000)])
    account = Account(fills=page(fill(2, ts=9_000), fill(3, ts=9_500)))
    records = await read_account(account, known=known, transfers=False)
    assert sorted(each.fill_id for each in records.fills) == ["1", "2", "3"]
    assert account.min_ts == 9_000 - 120
    assert "archived_fills" not in {name for name, _ in account.asked}
    assert records.requests == len(account.asked) == 5


async def test_a_listing_that_the_exchange_does_not_offer_or_permit_is_named():
    forbidden = AuthError("answered 403", status=403)
    account = Account(settlements=forbidden, archived_positions=NotFoundError("answered 404", status=404))
    records = await read_account(account)
    assert [missing.part for missing in records.missing] == ["settlements", "archived positions"]
    assert records.balance is not None


async def test_a_refused_key_is_an_error_and_not_a_missing_part():
    with pytest.raises(AuthError):
        await read_account(Account(fills=AuthError("answered 401", status=401)))


async def test_the_state_alone_takes_three_requests():
    account = Account(positions=page(MarketPosition(ticker="KXT-1-A", position_fp="1.00")))
    records = await read_account_state(account)
    assert (records.requests, len(records.positions)) == (3, 1)


async def test_a_market_settled_twice_has_two_settlements():
    def settlement_at(at):
        return PositionSettlement(ticker="KXT-1-A", yes_count_fp="1", no_count_fp="0", yes_total_cost_dollars="0.4",
                                  no_total_cost_dollars="0", settled_time=at)  # fmt: skip

    rows = page(
        settlement_at("2026-08-02T00:00:00Z"),
        settlement_at("2026-08-01T00:00:00Z"),
        settlement_at("2026-08-01T00:00:00Z"),
    )
    records = await read_account(Account(settlements=rows))
    assert len(records.settlements) == 2


def test_the_repr_of_records_shows_no_market():
    assert "KXT" not in repr(AccountRecords(fills=[fill(1)]))
