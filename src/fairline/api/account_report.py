"""What `portfolio` returns: an account in dollars, contracts and cents."""

from functools import cached_property
from typing import Any

import polars as pl

from fairline.kalshi.portfolio import AccountRecords
from fairline.market.problem import Problem
from fairline.output import account, notebook
from fairline.positions.account import Account
from fairline.positions.reconcile import CashIdentity
from fairline.scoring.metrics import Interval, clustered_mean

_DOLLAR = 1_000_000


class PortfolioReport:
    """An account: positions, fills, settled markets, closing-line value, and whether the cash adds up."""

    def __init__(
        self,
        account: Account,
        records: AccountRecords,
        problems: list[Problem],
        *,
        valued: pl.DataFrame | None = None,
        claims: pl.DataFrame | None = None,
    ) -> None:
        self.account = account
        self._records = records
        self._problems = problems
        self._valued = valued
        self._claims = claims

    @cached_property
    def positions(self) -> pl.DataFrame:
        """What is held, the largest cost first: amounts in dollars, prices per contract, sizes in contracts."""
        held = self.account.holdings.filter(
            (pl.col("count_cc") > 0) | (pl.col("resting_yes_cc") + pl.col("resting_no_cc") > 0)
        )
        contracts = pl.col("count_cc") / 100
        return held.sort("cost_u", descending=True).select(
            "ticker",
            "event_ticker",
            "series_ticker",
            "category",
            title=_title(),
            side="side",
            contracts=contracts,
            cost=_dollars("cost_u"),
            average_price=pl.when(pl.col("count_cc") > 0).then((_dollars("cost_u") / contracts).round(6)),
            exit_price=_dollars("exit_u"),
            value=_dollars("value_u"),
            unrealized=_dollars("unrealized_u"),
            realized=_dollars("realized_u"),
            fees=_dollars("fees_u"),
            resting_yes=pl.col("resting_yes_cc") / 100,
            resting_no=pl.col("resting_no_cc") / 100,
            opened_at="opened_ts",
            decided_at="decided_ts",
        )

    @cached_property
    def settled(self) -> pl.DataFrame:
        """Settled markets, the latest first, with the profit after fees. Counts are gross by side."""
        return self.account.settled.select(
            "ticker",
            "event_ticker",
            "series_ticker",
            "category",
            title=_title(),
            result="result",
            yes_contracts=pl.col("yes_cc") / 100,
            no_contracts=pl.col("no_cc") / 100,
            cost=_dollars("cost_u"),
            fees=_dollars("fee_u"),
            yes_payout=_dollars("value_u"),
            profit=_dollars("profit_u"),
            settled_at="settled_ts",
        )

    @cached_property
    def fills(self) -> pl.DataFrame:
        """Executions, the latest first. `side` is what was bought; closing a YES position buys NO."""
        return self.account.fills.select(*_FILL)

    @cached_property
    def clv(self) -> pl.DataFrame:
        """Fills with their closing-line value in cents per contract; null if unknown or if filled during play.

        Empty unless the report requested closing lines.
        """
        if self._valued is None:
            return self.fills.clear()
        return self._valued.select(
            *_FILL,
            starts_at="starts_ts",
            line_at="line_ts",
            line_bid=_dollars("line_bid_u"),
            line_ask=_dollars("line_ask_u"),
            clv_mid_cents="clv_mid_cents",
            clv_exit_cents="clv_exit_cents",
        )

    @cached_property
    def claims(self) -> pl.DataFrame:
        """Fills beside the edge that a watch had claimed: model, promised price and EV, slippage in dollars.

        Empty without the store of a watch.
        """
        if self._claims is None:
            return self.fills.clear()
        return self._claims.select(
            *_FILL,
            model="model",
            promised_price=_dollars("promised_price_u"),
            promised_ev=_dollars("promised_ev_u"),
            claimed_at="claimed_ts",
            slippage=_dollars("slippage_u"),
        )

    def clv_interval(self, column: str = "clv_mid_cents") -> Interval | None:
        """Return the mean closing-line value per fill in cents, with a 95 % interval clustered by event."""
        if self._valued is None:
            return None
        return clustered_mean(self._valued.drop_nulls(column), column)

    def by(self, group: str) -> pl.DataFrame:
        """Return profit and exposure in dollars by category, event, series, model or month."""
        table = self.account.profit_by(group)
        return table.select(
            group,
            "markets",
            realized=_dollars("realized_u"),
            unrealized=_dollars("unrealized_u"),
            exposure=_dollars("exposure_u"),
        )

    @property
    def identity(self) -> CashIdentity | None:
        """Whether deposits, withdrawals, settled profit and open markets give the balance; None without a balance."""
        return self.account.identity

    @cached_property
    def totals(self) -> dict[str, float | int | None]:
        """Cash, exposure, value, profits and fees in dollars; `unmarked` counts holdings without a quote."""
        totals = self.account.totals
        amounts = {
            "cash": totals.cash_u,
            "exposure": totals.exposure_u,
            "value": totals.value_u,
            "realized": totals.realized_u,
            "unrealized": totals.unrealized_u,
            "fees": totals.fees_u,
        }
        dollars = {name: None if amount is None else amount / _DOLLAR for name, amount in amounts.items()}
        return dollars | {"unmarked": totals.unmarked}

    @property
    def problems(self) -> list[Problem]:
        """What could not be read or does not add up."""
        missing = [Problem(str(each), stage="account") for each in self._records.missing]
        rejected = [Problem(str(each), stage="account", ticker=each.ticker) for each in self._records.rejected]
        mismatches = [Problem(str(each), stage="account", ticker=each.ticker) for each in self.account.mismatches]
        identity = self.identity
        difference = []
        if identity is not None and not identity.holds and not missing:
            sign = "+" if identity.difference_u > 0 else "−"
            text = f"the balance differs from the records by {sign}${abs(identity.difference_u) / _DOLLAR:,.4f}"
            difference = [Problem(f"{text}; possible cause: {'; '.join(identity.explanations)}", stage="account")]
        own = [*self._unlisted_value(), *self._uncounted_value()]
        return [*missing, *rejected, *difference, *mismatches, *own, *self._problems]

    def _uncounted_value(self) -> list[Problem]:
        """Return a problem for markets of which nothing but an archived position is left."""
        records = self._records
        counted = {fill.ticker for fill in records.fills} | {row.ticker for row in records.settlements}
        only_archived = [row.ticker for row in records.archived_positions if row.ticker not in counted]
        if not only_archived:
            return []
        count = len(only_archived)
        text = f"{count} archived positions have neither fills nor settlement, such as {only_archived[0]}"
        return [Problem(f"{text}; their profit is not counted", stage="account")]

    def _unlisted_value(self) -> list[Problem]:
        """Return a problem if the exchange values positions but lists none, which was seen for combos."""
        balance = self._records.balance
        held = self.account.holdings.filter(pl.col("count_cc") > 0)
        if balance is None or not balance.portfolio_value or held.height:
            return []
        value = balance.portfolio_value / 100
        return [Problem(f"the exchange values positions at ${value:,.2f} but lists none", stage="account")]

    @property
    def complete(self) -> bool:
        """Whether every part of the account was read."""
        return self._records.complete

    def document(self) -> dict[str, Any]:
        """Return the report as JSON shows it."""
        identity = self.identity
        cash = None
        if identity is not None:
            names = ("deposits_u", "withdrawals_u", "settled_u", "open_u", "balance_u", "difference_u")
            cash = {name.removesuffix("_u"): getattr(identity, name) / _DOLLAR for name in names}
            cash |= {"holds": identity.holds, "explanations": list(identity.explanations)}
        return {
            "asof": self.account.asof.isoformat(),
            "subaccount": self.account.subaccount,
            "complete": self.complete,
            "totals": self.totals,
            "cash": cash,
            "positions": self.positions.to_dicts(),
            "problems": [str(problem) for problem in self.problems],
        }

    def _repr_html_(self) -> str:
        return notebook.account_html(self.positions, account.summary_lines(self.totals, self.identity), self.problems)

    def __repr__(self) -> str:
        state = "complete" if self.complete else "INCOMPLETE"
        return f"<PortfolioReport: {self.positions.height} positions, {self.settled.height} settled markets, {state}>"


def _dollars(column: str) -> pl.Expr:
    # Dividing in floats leaves 0.5399999999999999; there are never more than six decimals.
    return (pl.col(column) / _DOLLAR).round(6)


def _title() -> pl.Expr:
    """Return the outcome before the question: the words that tell markets of one event apart come first."""
    outcome = pl.col("yes_sub_title").replace("", None)
    both = pl.concat_str([outcome, pl.col("title")], separator=" · ")
    return pl.coalesce(both, "title", outcome)


_FILL = (
    pl.col("ticker"),
    pl.col("event_ticker"),
    pl.col("category"),
    pl.col("side"),
    (pl.col("count_cc") / 100).alias("contracts"),
    _dollars("price_u").alias("price"),
    _dollars("cost_u").alias("cost"),
    _dollars("fee_u").alias("fee"),
    pl.col("taker"),
    pl.col("filled_ts").alias("filled_at"),
    pl.col("fill_id"),
)
