"""What a store is: its version, and the exchange whose markets it holds. Written in `store.json`."""

from pathlib import Path

import msgspec

from fairline.errors import StoreError
from fairline.files import write_atomic
from fairline.store.datasets import VERSION

NAME = "store.json"


class Identity(msgspec.Struct, frozen=True):
    """`exchange` is production, demo or a host; empty if the store was written by version 1, which did not know it."""

    version: int
    exchange: str = ""


def read_any_identity(folder: Path) -> Identity | None:
    """Return the identity of a store of this or an earlier version; None if there is none yet. Raises `StoreError`."""
    path = folder / NAME
    try:
        identity = msgspec.json.decode(path.read_bytes(), type=Identity)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StoreError(f"cannot read {path} ({error})", remedy="Restore it, or remove it") from error
    if identity.version > VERSION:
        raise StoreError(
            f"the store {folder} has version {identity.version}; this Fairline reads versions up to {VERSION}",
            remedy="Update Fairline, or choose another --store",
        )
    return identity


def read_identity(folder: Path) -> Identity | None:
    """Return the identity of a store; None if there is none yet. Raises `StoreError` for another version."""
    identity = read_any_identity(folder)
    if identity is not None and identity.version < VERSION:
        raise StoreError(
            f"the store {folder} has version {identity.version}; this Fairline reads version {VERSION}",
            remedy=f"Migrate it with: fairline store migrate --store {folder}",
        )
    return identity


def claim(folder: Path, exchange: str) -> str:
    """Write the identity of a store that is about to be written, and return its exchange.

    A store without an exchange becomes that of the first who writes with one. Raises `StoreError` for the store of
    another exchange or version.
    """
    current = read_identity(folder)
    recorded = current.exchange if current else ""
    check_exchange(folder, recorded, exchange)
    if current is None or recorded != (recorded or exchange):
        write_identity(folder, recorded or exchange)
    return recorded or exchange


def write_identity(folder: Path, exchange: str) -> None:
    write_atomic(folder / NAME, msgspec.json.encode(Identity(VERSION, exchange)), mode=0o600)


def check_exchange(folder: Path, recorded: str, exchange: str) -> None:
    """Raise `StoreError` if both exchanges are known and differ."""
    if recorded and exchange and recorded != exchange:
        raise StoreError(
            f"the store {folder} holds markets of {recorded}, not of {exchange}",
            remedy="Choose another --store, or the right --exchange",
        )
