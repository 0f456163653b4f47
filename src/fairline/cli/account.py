"""`balance`, `doctor` and `key`: who you are to the exchange, and what is wrong when it does not agree."""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer

from fairline.cli.options import AsJson, Exchange_, KeyFile, KeyId, MemberId, Profile, Scheme
from fairline.cli.terminal import ask_passphrase, auth_of, note, settings_of
from fairline.config import keychain
from fairline.config.connect import key_file_warning, patient_of, private_key, remember, transport_of
from fairline.config.settings import Settings
from fairline.errors import UsageError
from fairline.kalshi import JwtAuth, Kalshi
from fairline.kalshi.convention import SentRequest, parse_sent
from fairline.kalshi.diagnosis import Check, Diagnosis, diagnose_sent, diagnose_unreadable_key
from fairline.kalshi.doctor import Doctor
from fairline.kalshi.errors import PassphraseError, PrivateKeyError
from fairline.kalshi.keys import read_pem
from fairline.kalshi.remedies import REMEDIES
from fairline.kalshi.wire import Balance

commands = typer.Typer()


@commands.command(epilog="Example: fairline balance --key-id ID --key-file key.pem")
def balance(
    as_json: AsJson = False,
    exchange: Exchange_ = None,
    profile: Profile = None,
    key_id: KeyId = None,
    key_file: KeyFile = None,
    auth: Scheme = None,
    member_id: MemberId = None,
) -> None:
    """Your account's balance: the proof that signing in works."""
    settings = settings_of(
        exchange=exchange, profile=profile, key_id=key_id, key_file=key_file, auth=auth, member_id=member_id
    )

    signer = auth_of(settings)
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
    if as_json:
        print(json.dumps({"balance": float(cash), "portfolio_value": None if positions is None else float(positions)}))
    else:
        print(f"Balance {_money(cash)}" + (f", positions worth ${positions:,.2f}" if positions is not None else ""))


@commands.command(epilog="Example: fairline doctor --key-id ID --key-file key.pem")
def doctor(
    as_json: AsJson = False,
    headers: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What a failing program sent: a request line and its headers.")
    ] = None,
    method: Annotated[str, typer.Option(help="Instead of --headers: what was sent.")] = "GET",
    path: Annotated[str, typer.Option(metavar="PATH", help="With its query, from the host's root.")] = "",
    timestamp: Annotated[str, typer.Option(help="KALSHI-ACCESS-TIMESTAMP as sent.")] = "",
    signature: Annotated[str, typer.Option(help="KALSHI-ACCESS-SIGNATURE as sent.")] = "",
    subaccount: Annotated[int | None, typer.Option(min=0, max=63, help="The subaccount that you ask about.")] = None,
    other_exchange: Annotated[str | None, typer.Option(metavar="URL", help="Where else the key may belong.")] = None,
    exchange: Exchange_ = None,
    profile: Profile = None,
    key_id: KeyId = None,
    key_file: KeyFile = None,
    auth: Scheme = None,
    member_id: MemberId = None,
) -> None:
    """Take a failing set-up apart: which part is wrong, by what evidence, and what to do. It only reads."""
    settings = settings_of(
        exchange=exchange, profile=profile, key_id=key_id, key_file=key_file, auth=auth, member_id=member_id
    )
    ask = ask_passphrase if sys.stdin.isatty() and not as_json else None
    other = settings_of(exchange=other_exchange).url if other_exchange else ""
    patient = patient_of(settings, other_url=other, subaccount=subaccount, ask=ask)
    sent = _sent(headers, method, path, timestamp, signature)
    diagnosis = _judge(settings, sent, ask) if sent is not None else asyncio.run(Doctor(patient).examine())
    if sent is None and diagnosis.cause is None and patient.load_key is not None:
        remember(settings)
    warning = key_file_warning(settings)
    if warning:
        diagnosis.checks.append(Check("key file", "warn", warning, "Make it readable by you alone"))
    if as_json:
        print(json.dumps(asdict(diagnosis), indent=2))
    else:
        for check in diagnosis.checks:
            print(f"{check.status:8}{check.name:16}{check.evidence}")
            if check.remedy:
                print(f"{'':24}→ {check.remedy}")
        fine = "Nothing wrong was found." if sent is not None else "Healthy."
        print(fine if diagnosis.cause is None else f"Cause: {diagnosis.cause}. {REMEDIES[diagnosis.cause]}.")
    raise typer.Exit(0 if diagnosis.cause is None else 1)


def _judge(settings: Settings, sent: SentRequest, ask: Callable[[], str] | None) -> Diagnosis:
    """The diagnosis of what another program sent with this key."""
    if not settings.has_key:
        raise UsageError("a signature is judged by its key", remedy="Give --key-file too")
    try:
        key = private_key(settings, ask)
    except PrivateKeyError as error:
        return diagnose_unreadable_key(error)
    return diagnose_sent(sent, key, time.time(), settings.key_id)


def _sent(headers: Path | None, method: str, path: str, timestamp: str, signature: str) -> SentRequest | None:
    """The request to be judged, from a file or from flags; None where there is none."""
    if headers is not None:
        try:
            return parse_sent(headers.read_text(encoding="utf-8-sig"))
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{headers} cannot be read ({error})", remedy="Check --headers") from None
    if not (path or timestamp or signature):
        return None
    if not (path and timestamp and signature):
        raise UsageError(
            "a signature is judged with its path and timestamp", remedy="Give all three, or --headers FILE"
        )
    names = {"KALSHI-ACCESS-TIMESTAMP": timestamp, "KALSHI-ACCESS-SIGNATURE": signature}
    return SentRequest(method, path, names)


keys = typer.Typer(no_args_is_help=True, help="Keys in the operating system's keyring.")
commands.add_typer(keys, name="key")


@keys.command("import", epilog="Example: fairline key import --key-id ID --key-file key.pem")
def import_key(
    key_id: Annotated[str, typer.Option(help="The API key id that the private key belongs to.")],
    key_file: Annotated[str, typer.Option(metavar="PATH", help="The private key, PEM; - is standard input.")],
    name: Annotated[str, typer.Option(help="What to call it; the key id if absent.")] = "",
) -> None:
    """Put a private key into the keyring; afterwards use it with --key-file keyring:NAME."""
    settings = Settings(key_id=key_id, key_file=key_file, passphrase=settings_of().passphrase)
    pem = sys.stdin.read() if key_file == "-" else read_pem(Path(key_file).expanduser())
    settings.identity()
    secret = keychain.Secret(settings.key_id, pem, settings.passphrase)
    try:
        made = keychain.store(name or key_id, secret)
    except PassphraseError:
        if key_file == "-" or not sys.stdin.isatty():
            raise
        made = keychain.store(name or key_id, replace(secret, passphrase=ask_passphrase()))
    print(f"Stored {made.kind} {made.fingerprint}; use it with --key-file keyring:{made.name}")
    if key_file != "-":
        note(f"{key_file} is still there; delete it once you have a copy elsewhere")


@keys.command("list", epilog="Example: fairline key list --json")
def list_keys(as_json: AsJson = False) -> None:
    """The keys that were imported; no secret is shown."""
    found = keychain.stored()
    if as_json:
        print(json.dumps([asdict(key) for key in found]))
        return
    for key in found:
        print(f"{key.name}  {key.key_id}  {key.kind}  {key.fingerprint}")
    if not found:
        note("No key was imported yet: fairline key import --key-id ID --key-file key.pem")


@keys.command("remove", epilog="Example: fairline key remove NAME")
def remove_key(name: Annotated[str, typer.Argument(help="As fairline key list shows it.")]) -> None:
    """Delete a key from the keyring."""
    keychain.remove(name)
    print(f"Removed {name}")


def _money(dollars: Decimal) -> str:
    """Two decimals, or all four where there are parts of a cent."""
    return f"${dollars:,.2f}" if dollars == round(dollars, 2) else f"${dollars:,.4f}"
