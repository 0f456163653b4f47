"""An account as a whole: holdings at their exit price, settled profit, cash identity, and profit by group."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

import polars as pl

from fairline.errors import UsageError
from fairline.kalshi.portfolio import AccountRecords
from fairline.positions.archived import rebuild_settlements
from fairline.positions.holdings import fill_table, holding_table, settled_table
from fairline.positions.lots import build_lots
from fairline.positions.reconcile import CashIdentity, Mismatch, cash_identity, compare_positions, sum_transfers
from fairline.positions.records import dollars_u, parse_fill, parse_order, parse_position, parse_settlement

GroupBy = Literal["category", "event", "series", "model", "month"]
GROUPS: tuple[str, ...] = get_args(GroupBy)
_KEYS = {"category": "category", "event": "event_ticker", "series": "series_ticker", "model": "model"}


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums in micro-dollars.

    `realized_u` is the profit of settled markets after fees, plus that of pairs closed in markets that are still open,
    after the fees of these markets. `unrealized_u` is what the holdings would bring at the executable side minus their
    cost; `unmarked` counts holdings without a quote to sell to, which it leaves out.
    """

    cash_u: int | None
    exposure_u: int
    value_u: int
    realized_u: int
    unrealized_u: int
    fees_u: int
    unmarked: int


@dataclass(frozen=True, slots=True, repr=False)
class Account:
    """What one subaccount holds and earned. All frames are in micro-dollars and hundredths of a contract."""

    asof: datetime
    subaccount: int
    holdings: pl.DataFrame
    settled: pl.DataFrame
    fills: pl.DataFrame
    totals: Totals
    identity: CashIdentity | None
    mismatches: tuple[Mismatch, ...]

    def __repr__(self) -> str:
        return f"Account(subaccount={self.subaccount}, holdings={self.holdings.height}, settled={self.settled.height})"

    def profit_by(self, group: str) -> pl.DataFrame:
        """Return `{group, realized_u, unrealized_u, exposure_u, markets}`, the most profitable first.

        The month is that of the settlement, for open markets the present one. Raises `UsageError` for an unknown group.
        """
        if group not in GROUPS:
            raise UsageError(f"expected one of {', '.join(GROUPS)}, not {group!r}", field="by")
        if group == "model" and "model" not in self.settled.columns:
            raise UsageError(
                "profit by model needs a store", remedy="Give the store of a watch that scanned with models"
            )
        rows = pl.concat([_group_rows(self.settled, group, self.asof), _group_rows(self.holdings, group, self.asof)])
        return (
            rows.group_by(group)
            .agg(pl.col("realized_u", "unrealized_u", "exposure_u").sum(), markets=pl.col("ticker").n_unique())
            .sort("realized_u", "unrealized_u", descending=True)
        )

    def exposure_by(self, column: str) -> dict[str, int]:
        """Return the cost of the contracts held in micro-dollars, by a column such as `event_ticker`, or by `day`.

        The day (UTC) is that on which the market is decided.
        """
        table = self.holdings.with_columns(day=pl.col("decided_ts").dt.date())
        summed = table.group_by(column).agg(pl.col("cost_u").sum())
        return {str(name): cost for name, cost in summed.iter_rows() if cost}


def evaluate_account(records: AccountRecords, markets: pl.DataFrame, *, asof: datetime) -> Account:
    """Evaluate what was read of an account.

    `markets` are rows of MARKETS for the markets held, with their quotes; holdings in other markets have no mark.
    """
    fills = [parse_fill(fill) for fill in records.fills]
    positions = [parse_position(position) for position in records.positions]
    settlements = [parse_settlement(settlement) for settlement in records.settlements]
    listed = {each.ticker for each in positions} | {each.ticker for each in settlements}
    unlisted = {ticker: payout_u for ticker, payout_u in records.payouts_u.items() if ticker not in listed}
    settlements += rebuild_settlements(fills, unlisted)
    orders = [parse_order(order) for order in records.orders]
    lots = build_lots(fills)
    holdings = holding_table(positions, orders, lots, markets)
    settled = settled_table(settlements, markets)
    identity = None
    if records.balance is not None:
        transfers = sum_transfers(
            records.subaccount, records.deposits, records.withdrawals, records.subaccount_transfers
        )
        identity = cash_identity(dollars_u(records.balance.dollars), positions, settlements, transfers, orders)
    return Account(
        asof=asof,
        subaccount=records.subaccount,
        holdings=holdings,
        settled=settled,
        fills=fill_table(fills, markets),
        totals=_totals(holdings, settled, identity),
        identity=identity,
        mismatches=tuple(compare_positions(positions, lots)),
    )


def _totals(holdings: pl.DataFrame, settled: pl.DataFrame, identity: CashIdentity | None) -> Totals:
    def total(frame: pl.DataFrame, column: str) -> int:
        return int(frame[column].sum() or 0)

    held = holdings.filter(pl.col("count_cc") != 0)
    return Totals(
        cash_u=None if identity is None else identity.balance_u,
        exposure_u=total(held, "cost_u"),
        value_u=total(held, "value_u"),
        realized_u=total(settled, "profit_u") + total(holdings, "realized_u") - total(holdings, "fees_u"),
        unrealized_u=total(held, "unrealized_u"),
        fees_u=total(settled, "fee_u") + total(holdings, "fees_u"),
        unmarked=held["value_u"].null_count(),
    )


def _group_rows(frame: pl.DataFrame, group: str, asof: datetime) -> pl.DataFrame:
    """Return the rows of holdings or settled markets with their group and amounts under common names."""
    is_settled = "profit_u" in frame.columns
    if group == "month":
        moment = pl.col("settled_ts") if is_settled else pl.lit(asof)
        key = moment.dt.strftime("%Y-%m")
    else:
        key = pl.col(_KEYS[group]) if _KEYS[group] in frame.columns else pl.lit(None, dtype=pl.String)
    zero = pl.lit(0, dtype=pl.Int64)
    if is_settled:
        amounts = {"realized_u": pl.col("profit_u").fill_null(0), "unrealized_u": zero, "exposure_u": zero}
    else:
        unrealized = pl.col("unrealized_u").fill_null(0)
        amounts = {
            "realized_u": pl.col("realized_u") - pl.col("fees_u"),
            "unrealized_u": unrealized,
            "exposure_u": pl.col("cost_u"),
        }
    return frame.select(key.fill_null("unknown").alias(group), "ticker", **amounts)


def attach_models(account: Account, models: Mapping[str, str]) -> Account:
    """Return the account with the model whose claim was taken, by ticker, as a column of holdings and settled."""

    def add(frame: pl.DataFrame) -> pl.DataFrame:
        tickers: Iterable[str] = frame["ticker"]
        return frame.with_columns(pl.Series("model", [models.get(ticker) for ticker in tickers], dtype=pl.String))

    return Account(
        account.asof,
        account.subaccount,
        add(account.holdings),
        add(account.settled),
        account.fills,
        account.totals,
        account.identity,
        account.mismatches,
    )
