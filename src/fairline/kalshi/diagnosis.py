"""The result of an examination: checks with evidence and remedy, and the cause to fix first."""

from dataclasses import dataclass, field
from typing import Literal

from fairline.kalshi.convention import SentRequest, examine
from fairline.kalshi.errors import KalshiError
from fairline.kalshi.keys import PrivateKey
from fairline.kalshi.remedies import REMEDIES, Cause

Status = Literal["pass", "warn", "fail", "skipped"]


@dataclass(frozen=True, slots=True)
class Check:
    """One step of an examination."""

    name: str
    status: Status
    evidence: str
    remedy: str = ""


@dataclass(slots=True)
class Diagnosis:
    """The cause to fix first (None: healthy), and every check."""

    cause: Cause | None = None
    checks: list[Check] = field(default_factory=list)

    def record_pass(self, name: str, evidence: str) -> None:
        self.checks.append(Check(name, "pass", evidence))

    def record_warning(self, name: str, evidence: str, remedy: str) -> None:
        self.checks.append(Check(name, "warn", evidence, remedy))

    def record_skip(self, name: str, reason: str) -> None:
        self.checks.append(Check(name, "skipped", reason))

    def record_failure(self, name: str, cause: Cause, evidence: str, remedy: str = "") -> None:
        self.cause = cause
        self.checks.append(Check(name, "fail", evidence, remedy or REMEDIES[cause]))


def diagnose_sent(request: SentRequest, key: PrivateKey, now: float, key_id: str = "") -> Diagnosis:
    """Diagnose a request that another program sent, from its headers alone. Sends nothing."""
    finding = examine(request, key, now, key_id)
    cause = finding.causes[0] if finding.causes else None
    remedy = " ".join(f"{REMEDIES[cause]}." for cause in dict.fromkeys(finding.causes))
    return Diagnosis(cause, [Check("signature sent", "fail" if cause else "pass", finding.evidence, remedy)])


def diagnose_unreadable_key(error: KalshiError) -> Diagnosis:
    """Diagnose a key that cannot be loaded, where there is nothing else to examine."""
    check = Check("key", "fail", error.message, error.remedy or REMEDIES[Cause.KEY_UNREADABLE])
    return Diagnosis(Cause.KEY_UNREADABLE, [check])
