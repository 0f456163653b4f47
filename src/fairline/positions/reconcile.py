"""Whether an account adds up: its cash from its own records against the balance, and its lots against its positions."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fairline.kalshi.portfolio_wire import SubaccountTransfer, Transfer
from fairline.positions.lots import MarketLots
from fairline.positions.records import Position, RestingOrder, SettledMarket, cost_u

CENT_U = 10_000
APPLIED = ("applied", "")
"""States of a transfer whose money is in the balance; old rows state none."""
TOLERANCE_U = 100
"""The exchange reports its balance to $0.0001."""


@dataclass(frozen=True, slots=True)
class CashIdentity:
    """Cash by parts: deposits − withdrawals + settled profit + open cash flow. `difference_u` is balance − expected.

    `explanations` name the amounts that equal the difference.
    """

    deposits_u: int
    withdrawals_u: int
    settled_u: int
    open_u: int
    balance_u: int
    explanations: tuple[str, ...] = ()

    @property
    def expected_u(self) -> int:
        return self.deposits_u - self.withdrawals_u + self.settled_u + self.open_u

    @property
    def difference_u(self) -> int:
        return self.balance_u - self.expected_u

    @property
    def holds(self) -> bool:
        return abs(self.difference_u) <= TOLERANCE_U


@dataclass(frozen=True, slots=True)
class Transfers:
    """Cash that moved into and out of a subaccount, fees of the transfers, and deposits that are still pending."""

    deposits_u: int = 0
    withdrawals_u: int = 0
    fees_u: int = 0
    pending_u: int = 0


def sum_transfers(
    subaccount: int,
    deposits: Iterable[Transfer],
    withdrawals: Iterable[Transfer],
    between: Iterable[SubaccountTransfer],
) -> Transfers:
    """Add up the transfers of one subaccount. Deposits and withdrawals belong to the primary account, number 0."""
    incoming = list(deposits) if subaccount == 0 else []
    outgoing = list(withdrawals) if subaccount == 0 else []
    moves = list(between)
    moved_in = sum(move.amount_cents for move in moves if move.to_subaccount == subaccount)
    moved_out = sum(move.amount_cents for move in moves if move.from_subaccount == subaccount)
    applied = [each for each in incoming if each.status in APPLIED]
    sent = [each for each in outgoing if each.status in APPLIED]
    pending = [each for each in incoming if each.status == "pending"]
    return Transfers(
        deposits_u=moved_in * CENT_U + _amount_u(applied),
        withdrawals_u=moved_out * CENT_U + _amount_u(sent),
        fees_u=sum(each.fee_cents for each in [*applied, *sent]) * CENT_U,
        pending_u=_amount_u(pending),
    )


def _amount_u(transfers: Iterable[Transfer]) -> int:
    return sum(each.amount_cents for each in transfers) * CENT_U


def cash_identity(
    balance_u: int,
    positions: Iterable[Position],
    settlements: Iterable[SettledMarket],
    transfers: Transfers,
    orders: Iterable[RestingOrder] = (),
) -> CashIdentity:
    """Return the cash that the records imply beside the balance.

    The cash flow of an open market is its realised profit minus what its contracts cost minus its fees. Settled markets
    are left out of it, because their settlement rows already contain their costs and fees. Settlements without a payout
    count as zero and are named.
    """
    settled = list(settlements)
    gone = {settlement.ticker for settlement in settled}
    still_open = [position for position in positions if position.ticker not in gone]
    open_u = sum(position.realized_u - position.exposure_u - position.fees_u for position in still_open)
    settled_u = sum(settlement.profit_u or 0 for settlement in settled)
    identity = CashIdentity(transfers.deposits_u, transfers.withdrawals_u, settled_u, open_u, balance_u)
    if identity.holds:
        return identity
    explanations = _explain(identity.difference_u, settled, transfers, list(orders))
    return CashIdentity(
        transfers.deposits_u, transfers.withdrawals_u, settled_u, open_u, balance_u, tuple(explanations)
    )


def _explain(
    difference_u: int,
    settled: list[SettledMarket],
    transfers: Transfers,
    orders: list[RestingOrder],
) -> list[str]:
    """Return descriptions of amounts that equal the difference, or of records that could contain it."""
    amounts = {
        "cash reserved for resting orders": -sum(cost_u(order.count_cc, order.price_u) for order in orders),
        "fees of deposits and withdrawals": -transfers.fees_u,
        "a deposit that is still pending": transfers.pending_u,
    }
    if settled:
        latest = max(settled, key=_settled_s)
        amounts[f"the settlement of {latest.ticker}, which is not credited yet"] = -latest.revenue_u
    matches = [name for name, amount_u in amounts.items() if _explains(amount_u, difference_u)]
    unpaid = [settlement.ticker for settlement in settled if settlement.profit_u is None]
    if unpaid:
        matches.append(f"settlements without a payout: {', '.join(unpaid[:3])}")
    if not matches and not transfers.deposits_u:
        matches.append("deposits and withdrawals are not in these records")
    return matches or ["transfers between subaccounts, or settlements older than these records"]


def _explains(amount_u: int, difference_u: int) -> bool:
    return amount_u != 0 and abs(amount_u - difference_u) <= TOLERANCE_U


def _settled_s(settlement: SettledMarket) -> float:
    return settlement.at.timestamp() if settlement.at is not None else 0.0


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A market in which the fills do not lead to the position that the exchange reports."""

    ticker: str
    reported_cc: int
    from_fills_cc: int
    reported_exposure_u: int
    from_fills_exposure_u: int

    def __str__(self) -> str:
        if self.reported_cc != self.from_fills_cc:
            return (
                f"{self.ticker}: the exchange reports {self.reported_cc / 100:g} contracts, the fills give "
                f"{self.from_fills_cc / 100:g}; older fills are missing, or the newest are not in the position yet"
            )
        return (
            f"{self.ticker}: the contracts cost ${self.reported_exposure_u / 1e6:.6f} by the exchange and "
            f"${self.from_fills_exposure_u / 1e6:.6f} by the fills; the exchange may average costs"
        )


def compare_positions(positions: Iterable[Position], lots: Mapping[str, MarketLots]) -> list[Mismatch]:
    """Return the markets whose reported position differs from the one that the fills give."""
    mismatches = []
    for position in positions:
        market = lots.get(position.ticker) or MarketLots(position.ticker)
        same = (position.count_cc, position.exposure_u) == (market.count_cc, market.exposure_u)
        if not same:
            mismatches.append(
                Mismatch(position.ticker, position.count_cc, market.count_cc, position.exposure_u, market.exposure_u)
            )
    return mismatches
