"""Find the rounding of fees that an account's own fills obey."""

from dataclasses import dataclass
from typing import Any

from fairline.api.account import fit_fills
from fairline.api.options import Connection, Credentials
from fairline.api.session import Hooks, open_session
from fairline.errors import UsageError
from fairline.positions.fee_fit import FeeFit


@dataclass(frozen=True, slots=True)
class FeeFitReport:
    """The policies beside the fees that were charged, and which of them is proven."""

    fit: FeeFit
    unread_series: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"{'Policy':20}{'Exact':>8}{'Too low':>9}{'Charged ×':>11}"]
        lines += [f"{each.policy.name:20}{each.exact:>8}{each.too_low:>9}{each.ratio:>11.4f}" for each in self.fit.fits]
        if self.unread_series:
            lines.append(f"Assumed quadratic ×1, because the terms could not be read: {', '.join(self.unread_series)}")
        lines.append(f"{str(self.fit)[:1].upper()}{str(self.fit)[1:]}.")
        if self.fit.proven is not None:
            lines.append("Scans with this key use it from now on.")
        return "\n".join(lines)

    def document(self) -> dict[str, Any]:
        """Return the report as JSON shows it."""
        return {
            "fills": self.fit.fills,
            "proven": None if self.fit.proven is None else self.fit.proven.name,
            "policy": self.fit.policy.name,
            "policies": [
                {"name": each.policy.name, "exact": each.exact, "too_low": each.too_low, "ratio": round(each.ratio, 6)}
                for each in self.fit.fits
            ],
            "unread_series": list(self.unread_series),
        }


async def fit_account_fees(
    connection: Connection, credentials: Credentials, hooks: Hooks, *, subaccount: int = 0
) -> FeeFitReport:
    """Read every fill of the account, fit the policies, and remember the proven one for later scans with this key."""
    session = open_session(connection, credentials, hooks)
    if not session.settings.has_key:
        raise UsageError("fitting fees needs an API key", field="key_id")
    async with session.kalshi() as kalshi:
        fit, unread = await fit_fills(kalshi, session.settings, subaccount=subaccount)
    return FeeFitReport(fit, tuple(unread))
