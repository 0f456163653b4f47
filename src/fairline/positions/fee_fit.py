"""Which rounding of fees an account's own fills obey."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import polars as pl

from fairline.market.fees import CAUTIOUS, COEFFICIENTS, POLICIES, TAKER, Policy, order_fee_u
from fairline.market.frame import FEE_UNIT
from fairline.positions.records import Fill

MIN_FILLS = 10
MIN_EXACT_SHARE = 0.9
"""A policy is proven by at least ten fills with a fee, nine in ten of which it reproduces exactly."""


@dataclass(frozen=True, slots=True)
class FeeTerms:
    """The fee type and multiplier of a series."""

    fee_type: str = "quadratic"
    multiplier: float = 1.0


@dataclass(frozen=True, slots=True)
class PolicyFit:
    """How well a policy reproduces the fees charged: how many exactly, how many too low, ratio of sums."""

    policy: Policy
    exact: int
    too_low: int
    ratio: float


@dataclass(frozen=True, slots=True)
class FeeFit:
    """The fit of every policy, the best first. `fills` counts the fills with a fee, which decide."""

    fills: int
    fits: tuple[PolicyFit, ...]

    @property
    def proven(self) -> Policy | None:
        """The policy that the fills prove, None if they prove none."""
        if self.fills < MIN_FILLS or not self.fits:
            return None
        best = self.fits[0]
        return best.policy if best.exact >= MIN_EXACT_SHARE * self.fills else None

    @property
    def policy(self) -> Policy:
        """The policy to use: the proven one, otherwise the cautious one."""
        return self.proven or CAUTIOUS

    def __str__(self) -> str:
        if self.proven is None:
            return f"the account's {self.fills} fills with fees prove no rounding; using {CAUTIOUS.name}"
        return f"{self.fits[0].exact} of the account's {self.fills} fills prove {self.proven.name}"


def fit_fees(fills: Iterable[Fill], terms: Mapping[str, FeeTerms]) -> FeeFit:
    """Compare the fees of fills with every policy.

    `terms` are those of the series and of events with terms of their own, by ticker; an unknown series counts as
    `quadratic` with multiplier 1. Every fill counts as an order of its own.
    """
    table = _fill_table(fills, terms)
    charged = table.filter(pl.col("fee_u") > 0)
    fits = [_fit(charged, policy) for policy in POLICIES.values()]
    fits.sort(key=lambda fit: (-fit.exact, abs(fit.ratio - 1)))
    return FeeFit(charged.height, tuple(fits))


def _fill_table(fills: Iterable[Fill], terms: Mapping[str, FeeTerms]) -> pl.DataFrame:
    rows = []
    for fill in fills:
        event = fill.ticker.rpartition("-")[0]
        own = terms.get(event) or terms.get(fill.ticker.split("-", maxsplit=1)[0]) or FeeTerms()
        taker, maker = COEFFICIENTS.get(own.fee_type, (TAKER, TAKER))
        rate = maker if fill.is_taker is False else taker
        rows.append((fill.price_u, fill.count_cc, round(own.multiplier * FEE_UNIT), rate, fill.fee_u))
    names = ("price_u", "count_cc", "multiplier_m", "rate", "fee_u")
    return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.Int64), orient="row")


def _fit(charged: pl.DataFrame, policy: Policy) -> PolicyFit:
    computed = order_fee_u(
        pl.col("price_u"), pl.col("count_cc"), pl.col("multiplier_m"), rate=pl.col("rate"), policy=policy
    )
    compared = charged.select("fee_u", computed=computed)
    exact = compared.filter(pl.col("fee_u") == pl.col("computed")).height
    too_low = compared.filter(pl.col("computed") < pl.col("fee_u")).height
    total = int(compared["fee_u"].sum() or 0)
    return PolicyFit(policy, exact, too_low, int(compared["computed"].sum() or 0) / total if total else 1.0)
