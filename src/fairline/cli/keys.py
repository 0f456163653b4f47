"""`key import`, `key list` and `key remove`: keys in the operating system's keyring."""

import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from fairline.cli.output import FormatOptions, emit
from fairline.cli.terminal import ask_passphrase, note


def import_key(
    *,
    key_id: Annotated[str, Parameter(help="The id of the API key that the private key belongs to.")],
    key_file: Annotated[str, Parameter(help="The private key in PEM format; - reads standard input.")],
    name: Annotated[str, Parameter(help="A name for the key. Default: the key id.")] = "",
) -> None:
    """Store a private key in the keyring; then use it with --key-file keyring:NAME."""
    from fairline.config import keychain
    from fairline.config.settings import Settings, load_settings
    from fairline.kalshi.errors import PassphraseError
    from fairline.kalshi.keys import read_pem

    settings = Settings(key_id=key_id, key_file=key_file, passphrase=load_settings().passphrase)
    pem = sys.stdin.read() if key_file == "-" else read_pem(Path(key_file).expanduser())
    settings.identity()
    secret = keychain.Secret(settings.key_id, pem, settings.passphrase)
    try:
        stored = keychain.store(name or key_id, secret)
    except PassphraseError:
        if key_file == "-" or not sys.stdin.isatty():
            raise
        stored = keychain.store(name or key_id, replace(secret, passphrase=ask_passphrase()))
    print(f"Stored {stored.kind} {stored.fingerprint}; use it with --key-file keyring:{stored.name}")
    if key_file != "-":
        note(f"{key_file} still exists; delete it once you have a backup")


def list_keys(*, output: FormatOptions = FormatOptions()) -> None:
    """List the imported keys without showing any secret."""
    from fairline.config import keychain

    keys = keychain.list_stored()
    rows = [asdict(key) for key in keys]

    def print_keys() -> None:
        for key in keys:
            print(f"{key.name}  {key.key_id}  {key.kind}  {key.fingerprint}")

    emit(output, table=print_keys, document=lambda: rows, rows=lambda: rows)
    if not keys:
        note("No keys imported yet. To import one: fairline key import --key-id ID --key-file key.pem")


def remove_key(name: Annotated[str, Parameter(help="The name that fairline key list shows.")], /) -> None:
    """Delete a key from the keyring."""
    from fairline.config import keychain

    keychain.remove(name)
    print(f"Removed {name}")
