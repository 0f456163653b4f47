"""Which claimed edges of a watch's store were taken, by the account's history that was kept beside it."""

from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl

from fairline.market.frame import empty_markets
from fairline.positions.claims import match_claims
from fairline.positions.holdings import fill_table
from fairline.positions.records import parse_fill
from fairline.store.mirror import read_mirrors
from fairline.store.store import Store

_DOLLAR = 1_000_000


@dataclass(frozen=True, slots=True)
class TakenClaims:
    """How many claimed edges were taken, and the price paid compared with the promised one, in dollars per contract.

    `slippage` is the mean over contracts; a positive value is a worse price. `after_slippage` is the promised EV minus
    the slippage. Both are None if no claim was taken.
    """

    claims: int
    taken: int
    fills: int
    unclaimed_fills: int
    slippage: float | None
    promised: float | None
    after_slippage: float | None

    def document(self) -> dict[str, float | int | None]:
        """Return the figures for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        text = f"Taken: {self.taken} of {self.claims} claimed edges, with {self.fills} fills"
        if self.slippage is None or self.promised is None or self.after_slippage is None:
            return text
        return (
            f"{text}; paid {self.slippage * 100:+.2f} ¢ per contract more than promised, which leaves "
            f"{self.after_slippage * 100:+.2f} ¢ of a promised EV of {self.promised * 100:+.2f} ¢"
        )


def read_taken_claims(store: Store, folder: Path) -> TakenClaims | None:
    """Match the kept fills of every account beside a store with the edges it claimed; None if no fills were kept."""
    fills = [parse_fill(fill) for records in read_mirrors(folder / "account") for fill in records.fills]
    if not fills:
        return None
    edges = store.read("edges", where=pl.col("change") != "gone")
    matched = match_claims(fill_table(fills, empty_markets()), edges)
    taken = matched.drop_nulls("model")
    contracts = taken["count_cc"].sum()

    def mean(column: str) -> float | None:
        return float((taken[column] * taken["count_cc"]).sum()) / float(contracts) / _DOLLAR if contracts else None

    slippage = mean("slippage_u")
    promised = mean("promised_ev_u")
    left = None if slippage is None or promised is None else promised - slippage
    key = ["ticker", "side", "model"]
    return TakenClaims(
        claims=edges.select(key).unique().height,
        taken=taken.select(key).unique().height,
        fills=taken.height,
        unclaimed_fills=matched.height - taken.height,
        slippage=slippage,
        promised=promised,
        after_slippage=left,
    )
