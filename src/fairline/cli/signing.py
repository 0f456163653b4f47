"""What signed requests show: the balance, or why authentication fails."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import asdict
from decimal import Decimal

from fairline.cli.account import SentOptions
from fairline.cli.output import FormatOptions, emit
from fairline.cli.settings import sign_in
from fairline.cli.terminal import note, passphrase_prompt
from fairline.config.connect import key_file_warning, patient_of, private_key, remember, transport_of
from fairline.config.settings import Settings
from fairline.errors import UsageError
from fairline.kalshi import JwtAuth, Kalshi
from fairline.kalshi.convention import SentRequest, parse_sent
from fairline.kalshi.diagnosis import Check, Diagnosis, diagnose_sent, diagnose_unreadable_key
from fairline.kalshi.doctor import Doctor
from fairline.kalshi.errors import PrivateKeyError
from fairline.kalshi.remedies import REMEDIES
from fairline.kalshi.wire import Balance
from fairline.text import sanitize


def print_balance(settings: Settings, output: FormatOptions) -> None:
    """Read and print the balance. Raises `UsageError` without a key."""
    signer = sign_in(settings)
    if signer is None:
        raise UsageError("the balance needs a key", remedy="Give --key-id and --key-file, or set KALSHI_API_KEY_ID")

    async def read() -> Balance:
        async with Kalshi(transport_of(settings, signer, note)) as kalshi:
            group = kalshi.member if isinstance(signer, JwtAuth) else kalshi.portfolio
            return await group.balance()

    account = asyncio.run(read())
    remember(settings)
    cash = account.dollars
    positions = None if account.portfolio_value is None else Decimal(account.portfolio_value) / 100
    suffix = "" if positions is None else f", positions worth ${positions:,.2f}"
    fields = {"balance": float(cash), "portfolio_value": None if positions is None else float(positions)}
    emit(
        output,
        table=lambda: print(f"Balance {_format_money(cash)}{suffix}"),
        document=lambda: fields,
        rows=lambda: [fields],
    )


def examine(
    settings: Settings, sent: SentOptions, output: FormatOptions, *, other_url: str, subaccount: int | None
) -> int:
    """Diagnose authentication, print the diagnosis, and return the exit code."""
    ask = passphrase_prompt() if output.is_table else None
    patient = patient_of(settings, other_url=other_url, subaccount=subaccount, ask=ask)
    request = _sent_request(sent)
    if request is not None:
        diagnosis = _diagnose(settings, request, ask)
    else:
        diagnosis = asyncio.run(Doctor(patient).examine())
        if diagnosis.cause is None and patient.load_key is not None:
            remember(settings)
    warning = key_file_warning(settings)
    if warning:
        diagnosis.checks.append(Check("key file", "warn", warning, "Make it readable by you alone"))
    healthy = "Healthy." if request is None else "No fault found."
    emit(
        output,
        table=lambda: _print_diagnosis(diagnosis, healthy),
        document=lambda: asdict(diagnosis),
        rows=lambda: [asdict(check) for check in diagnosis.checks],
    )
    return 0 if diagnosis.cause is None else 1


def _print_diagnosis(diagnosis: Diagnosis, healthy: str) -> None:
    for check in diagnosis.checks:
        print(f"{check.status:8}{check.name:16}{sanitize(check.evidence)}")
        if check.remedy:
            print(f"{'':24}→ {check.remedy}")
    print(healthy if diagnosis.cause is None else f"Cause: {diagnosis.cause}. {REMEDIES[diagnosis.cause]}.")


def _diagnose(settings: Settings, sent: SentRequest, ask: Callable[[], str] | None) -> Diagnosis:
    """Diagnose a request that another program signed with this key."""
    if not settings.has_key:
        raise UsageError("checking a signature needs its key", remedy="Give --key-file too")
    try:
        key = private_key(settings, ask)
    except PrivateKeyError as error:
        return diagnose_unreadable_key(error)
    return diagnose_sent(sent, key, time.time(), settings.key_id)


def _sent_request(sent: SentOptions) -> SentRequest | None:
    """Return the request to diagnose, from a file or from flags; None without one. Raises `UsageError`."""
    if sent.headers is not None:
        try:
            return parse_sent(sent.headers.read_text(encoding="utf-8-sig"))
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"cannot read {sent.headers} ({error})", remedy="Check --headers") from error
    parts = (sent.path, sent.timestamp, sent.signature)
    if not any(parts):
        return None
    if not all(parts):
        raise UsageError(
            "checking a signature needs its path and timestamp", remedy="Give all three, or --headers FILE"
        )
    names = {"KALSHI-ACCESS-TIMESTAMP": sent.timestamp, "KALSHI-ACCESS-SIGNATURE": sent.signature}
    return SentRequest(sent.method, sent.path, names)


def _format_money(dollars: Decimal) -> str:
    """Format with two decimals, or with four if there are fractions of a cent."""
    return f"${dollars:,.2f}" if dollars == round(dollars, 2) else f"${dollars:,.4f}"
