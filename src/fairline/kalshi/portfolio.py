"""Read-only access to an account: its endpoints one by one, and everything at once.

Every request names its subaccount, because balance and positions default to subaccount 0 and all other endpoints to all
subaccounts: a report that mixes the two does not add up.
"""

from collections.abc import Awaitable, Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from fairline.kalshi import wire
from fairline.kalshi.decoding import Page, Rejected
from fairline.kalshi.errors import AuthError, NotFoundError
from fairline.kalshi.portfolio_wire import (
    Fill,
    MarketPosition,
    Order,
    PositionSettlement,
    SubaccountTransfer,
    Transfer,
    deposits_page,
    fills_page,
    orders_page,
    positions_page,
    settlements_page,
    subaccount_transfers_page,
    withdrawals_page,
)
from fairline.kalshi.transport import Params, Transport

Row = TypeVar("Row")

MAX_ROWS = 1000
"""The largest page of the account endpoints."""
MAX_PAGES = 1000
OVERLAP_S = 120
"""How far before the newest known row a refresh starts: `min_ts` may be exclusive, and fills may appear late."""


class PortfolioGroup:
    """The `/portfolio` endpoints and their `/historical` twins. Each method that returns a page returns one page."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def balance(self, subaccount: int | None = None) -> wire.Balance:
        return await self._transport.get("/portfolio/balance", {"subaccount": subaccount}, decode=wire.balance)

    async def positions(
        self, *, subaccount: int = 0, settlement_status: str = "unsettled", cursor: str | None = None
    ) -> Page[MarketPosition]:
        """Return one page of positions, including those of zero contracts: only they show some realised profits."""
        params: Params = {
            "subaccount": subaccount,
            "settlement_status": settlement_status,
            "limit": MAX_ROWS,
            "cursor": cursor,
        }
        return await self._transport.get("/portfolio/positions", params, decode=positions_page)

    async def fills(
        self, *, subaccount: int = 0, min_ts: int | None = None, cursor: str | None = None, archived: bool = False
    ) -> Page[Fill]:
        """Return one page of fills, the newest first. `archived` reads those moved to the archive."""
        path = "/historical/fills" if archived else "/portfolio/fills"
        params: Params = {"subaccount": subaccount, "min_ts": min_ts, "limit": MAX_ROWS, "cursor": cursor}
        return await self._transport.get(path, params, decode=fills_page)

    async def settlements(
        self, *, subaccount: int = 0, min_ts: int | None = None, cursor: str | None = None
    ) -> Page[PositionSettlement]:
        """Return one page of settlements, the newest first."""
        params: Params = {"subaccount": subaccount, "min_ts": min_ts, "limit": MAX_ROWS, "cursor": cursor}
        return await self._transport.get("/portfolio/settlements", params, decode=settlements_page)

    async def resting_orders(self, *, subaccount: int = 0, cursor: str | None = None) -> Page[Order]:
        """Return one page of orders that can still be filled, however old."""
        params: Params = {"subaccount": subaccount, "status": "resting", "limit": MAX_ROWS, "cursor": cursor}
        return await self._transport.get("/portfolio/orders", params, decode=orders_page)

    async def archived_orders(self, *, subaccount: int = 0, cursor: str | None = None) -> Page[Order]:
        """Return one page of orders without a change for about two weeks."""
        params: Params = {"subaccount": subaccount, "limit": MAX_ROWS, "cursor": cursor}
        return await self._transport.get("/historical/orders", params, decode=orders_page)

    async def archived_positions(self, *, subaccount: int = 0, cursor: str | None = None) -> Page[MarketPosition]:
        """Return one page of positions whose events were settled and archived."""
        params: Params = {"subaccount": subaccount, "limit": MAX_ROWS, "cursor": cursor}
        return await self._transport.get("/historical/positions", params, decode=positions_page)

    async def deposits(self, cursor: str | None = None) -> Page[Transfer]:
        """Return one page of deposits of the whole member."""
        params: Params = {"limit": MAX_ROWS, "cursor": cursor}
        return await self._transport.get("/portfolio/deposits", params, decode=deposits_page)

    async def withdrawals(self, cursor: str | None = None) -> Page[Transfer]:
        """Return one page of withdrawals of the whole member."""
        params: Params = {"limit": MAX_ROWS, "cursor": cursor}
        return await self._transport.get("/portfolio/withdrawals", params, decode=withdrawals_page)

    async def subaccount_transfers(self, cursor: str | None = None) -> Page[SubaccountTransfer]:
        """Return one page of movements of cash between the member's subaccounts."""
        params: Params = {"limit": MAX_ROWS, "cursor": cursor}
        return await self._transport.get("/portfolio/subaccounts/transfers", params, decode=subaccount_transfers_page)


@dataclass(frozen=True, slots=True)
class Missing:
    """A part of the account that could not be read, and why."""

    part: str
    reason: str

    def __str__(self) -> str:
        return f"{self.part}: {self.reason}"


@dataclass(slots=True, repr=False)
class AccountRecords:
    """Everything that was read of one subaccount.

    `missing` names parts that the key may not read, `rejected` rows that could not be used. `payouts_u` is what one YES
    contract paid, in micro-dollars, in settled markets that no listing of the account contains; the caller looks them
    up. `requests` counts what the reading cost. Balance is None if it could not be read.
    """

    subaccount: int = 0
    balance: wire.Balance | None = None
    positions: list[MarketPosition] = field(default_factory=list)
    archived_positions: list[MarketPosition] = field(default_factory=list)
    fills: list[Fill] = field(default_factory=list)
    settlements: list[PositionSettlement] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    deposits: list[Transfer] = field(default_factory=list)
    withdrawals: list[Transfer] = field(default_factory=list)
    subaccount_transfers: list[SubaccountTransfer] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    payouts_u: dict[str, int] = field(default_factory=dict)
    requests: int = 0

    @property
    def complete(self) -> bool:
        return not self.missing and not self.rejected

    def __repr__(self) -> str:
        # Counts only: a log or a traceback must not show what an account holds.
        return f"AccountRecords(subaccount={self.subaccount}, fills={len(self.fills)}, missing={len(self.missing)})"


async def read_account(
    portfolio: PortfolioGroup, *, subaccount: int = 0, known: AccountRecords | None = None, transfers: bool = True
) -> AccountRecords:
    """Read an account to the end of every listing.

    With `known` (what was read before) only newer fills and settlements are requested, without the archive, and merged
    with the known ones. Fills vanish from the live endpoint, so an absent row never removes a known one. Endpoints that
    the key may not read become `missing`. A refresh without `transfers` costs five requests if each listing fits on one
    page. Raises `KalshiError` if the exchange cannot be reached.
    """
    reader = _Reader(portfolio, subaccount, known)
    await reader.read_state()
    await reader.read_history()
    if transfers:
        await reader.read_transfers()
    return reader.records


async def read_account_state(portfolio: PortfolioGroup, *, subaccount: int = 0) -> AccountRecords:
    """Read only balance, positions and resting orders: three requests. Raises like `read_account`."""
    reader = _Reader(portfolio, subaccount, None)
    await reader.read_state()
    return reader.records


async def read_fills(portfolio: PortfolioGroup, *, subaccount: int = 0) -> AccountRecords:
    """Read only the fills, with those in the archive. Raises like `read_account`."""
    reader = _Reader(portfolio, subaccount, None)
    await reader.read_fills()
    return reader.records


class _Reader:
    def __init__(self, portfolio: PortfolioGroup, subaccount: int, known: AccountRecords | None) -> None:
        self._portfolio = portfolio
        self._subaccount = subaccount
        self._known = known
        self.records = AccountRecords(subaccount)

    async def read_state(self) -> None:
        """Read balance, positions and resting orders."""
        records = self.records
        number = self._subaccount
        records.balance = await self._part("balance", lambda: self._portfolio.balance(number))
        records.requests += 1
        positions = await self._pages(
            "positions", lambda cursor: self._portfolio.positions(subaccount=number, cursor=cursor), _by_ticker
        )
        records.positions = positions
        records.orders = await self._pages(
            "resting orders", lambda cursor: self._portfolio.resting_orders(subaccount=number, cursor=cursor), _by_order
        )

    async def read_history(self) -> None:
        """Read fills and settlements, of which the known ones only need their newer part."""
        await self.read_fills()
        await self._read_settlements()
        if self._known is None:
            number = self._subaccount
            self.records.archived_positions = await self._pages(
                "archived positions",
                lambda cursor: self._portfolio.archived_positions(subaccount=number, cursor=cursor),
                _by_ticker,
            )

    async def read_fills(self) -> None:
        """Read the fills, of a known account only the newer ones."""
        number = self._subaccount
        known = self._known
        since = None if known is None else _newest(fill.at_s for fill in known.fills)
        fills = await self._pages(
            "fills", lambda cursor: self._portfolio.fills(subaccount=number, min_ts=since, cursor=cursor), fill_key
        )
        if known is None:
            fills += await self._pages(
                "archived fills",
                lambda cursor: self._portfolio.fills(subaccount=number, cursor=cursor, archived=True),
                fill_key,
            )
        # The archive is reported to ignore its subaccount parameter.
        own = [fill for fill in fills if fill.subaccount_number in (None, number)]
        self.records.fills = merge(own, known.fills if known else [], fill_key)

    async def _read_settlements(self) -> None:
        number = self._subaccount
        known = self._known
        after = None if known is None else _newest(each.settled_s for each in known.settlements)
        settlements = await self._pages(
            "settlements",
            lambda cursor: self._portfolio.settlements(subaccount=number, min_ts=after, cursor=cursor),
            settlement_key,
        )
        self.records.settlements = merge(settlements, known.settlements if known else [], settlement_key)

    async def read_transfers(self) -> None:
        """Read deposits, withdrawals and movements between subaccounts."""
        self.records.deposits = await self._pages("deposits", self._portfolio.deposits, _by_id)
        self.records.withdrawals = await self._pages("withdrawals", self._portfolio.withdrawals, _by_id)
        self.records.subaccount_transfers = await self._pages(
            "transfers between subaccounts", self._portfolio.subaccount_transfers, lambda row: row.transfer_id
        )

    async def _part(self, name: str, read: Callable[[], Awaitable[Any]]) -> Any:
        """Return what `read` returns, or None and a `Missing` if the key may not read it."""
        try:
            return await read()
        except AuthError as error:
            if error.status != 403:
                raise
            self.records.missing.append(Missing(name, f"not permitted for this API key ({error.message})"))
        except NotFoundError:
            self.records.missing.append(Missing(name, "the exchange does not offer it"))
        return None

    async def _pages(
        self, name: str, fetch: Callable[[str | None], Awaitable[Page[Row]]], key: Callable[[Row], Hashable]
    ) -> list[Row]:
        """Return the rows of all pages, without repeated ones.

        Stops when a page brings nothing new: a wrong cursor is answered with the first page.
        """
        rows: dict[Hashable, Row] = {}
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            page: Page[Row] | None = await self._part(name, lambda: fetch(cursor))  # noqa: B023  (called at once)
            self.records.requests += 1
            if page is None:
                break
            self.records.rejected += page.rejected
            new = {key(row): row for row in page.rows if key(row) not in rows}
            rows |= new
            if page.cursor and not new:
                self.records.missing.append(Missing(name, "the exchange repeated a page"))
            if not page.cursor or not new:
                break
            cursor = page.cursor
        return list(rows.values())


def fill_key(fill: Fill) -> Hashable:
    """Return what identifies a fill: both parties of a trade share its id."""
    return fill.fill_id, fill.subaccount_number or 0, fill.direction


def settlement_key(settlement: PositionSettlement) -> Hashable:
    """Return what identifies a settlement: a market can be settled again after a correction."""
    return settlement.exchange_index or 0, settlement.ticker, settlement.settled_time


def merge(new: Iterable[Row], known: Iterable[Row], key: Callable[[Row], Hashable]) -> list[Row]:
    """Return new and known rows once each; a new row replaces the known one."""
    rows = {key(row): row for row in known}
    rows.update({key(row): row for row in new})
    return list(rows.values())


def _newest(seconds: Iterable[int | None]) -> int | None:
    """Return where to continue after the newest known time, with an overlap."""
    known = [value for value in seconds if value is not None]
    return max(known) - OVERLAP_S if known else None


def _by_ticker(position: MarketPosition) -> Hashable:
    return position.exchange_index or 0, position.ticker


def _by_order(order: Order) -> Hashable:
    return order.order_id


def _by_id(transfer: Transfer) -> Hashable:
    return transfer.id
