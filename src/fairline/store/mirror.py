"""A copy of an account's history on this machine, kept only on request and readable by its owner alone.

The exchange moves old fills away from its live endpoint and drops old settlements, so a copy is the only complete
record. It belongs to one exchange, key and subaccount.
"""

import hashlib
from pathlib import Path

import msgspec

from fairline.errors import StoreError
from fairline.files import write_atomic
from fairline.kalshi.portfolio import AccountRecords
from fairline.kalshi.portfolio_wire import Fill, PositionSettlement, SubaccountTransfer, Transfer

VERSION = 1


class _Content(msgspec.Struct):
    version: int
    exchange: str
    subaccount: int
    fills: list[Fill]
    settlements: list[PositionSettlement]
    deposits: list[Transfer] = []
    withdrawals: list[Transfer] = []
    subaccount_transfers: list[SubaccountTransfer] = []
    payouts_u: dict[str, int] = {}


class AccountMirror:
    """The mirror of one account in a folder. The file's name contains a digest of the key id, not the id."""

    def __init__(self, folder: Path, exchange: str, key_id: str, subaccount: int) -> None:
        digest = hashlib.sha256(f"{exchange} {key_id}".encode()).hexdigest()[:16]
        self.path = folder / f"{digest}-{subaccount}.json"
        self._exchange = exchange
        self._subaccount = subaccount

    def load(self) -> AccountRecords | None:
        """Return what was kept, None if nothing was. Raises `StoreError` for a file that cannot be used."""
        try:
            content = msgspec.json.decode(self.path.read_bytes(), type=_Content)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise StoreError(
                f"the account mirror {self.path} cannot be read ({type(error).__name__})",
                remedy="Move it away to start a new one; what the exchange no longer lists is lost then",
            ) from error
        if (content.version, content.exchange, content.subaccount) != (VERSION, self._exchange, self._subaccount):
            raise StoreError(
                f"the account mirror {self.path} belongs to another exchange, subaccount or version",
                remedy="Move it away to start a new one",
            )
        return AccountRecords(
            subaccount=self._subaccount,
            fills=content.fills,
            settlements=content.settlements,
            deposits=content.deposits,
            withdrawals=content.withdrawals,
            subaccount_transfers=content.subaccount_transfers,
            payouts_u=content.payouts_u,
        )

    def save(self, records: AccountRecords) -> None:
        """Replace the kept history, with mode 0600. Raises `StoreError`."""
        content = _Content(
            version=VERSION,
            exchange=self._exchange,
            subaccount=self._subaccount,
            fills=records.fills,
            settlements=records.settlements,
            deposits=records.deposits,
            withdrawals=records.withdrawals,
            subaccount_transfers=records.subaccount_transfers,
            payouts_u=records.payouts_u,
        )
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_atomic(self.path, msgspec.json.encode(content), mode=0o600)
        except OSError as error:
            raise StoreError(
                f"cannot write the account mirror {self.path} ({error.strerror})", remedy="Check its folder"
            ) from error


def read_mirrors(folder: Path) -> list[AccountRecords]:
    """Return the kept histories in a folder, whatever key they belong to; unreadable files are left out."""
    records = []
    for path in sorted(folder.glob("*.json")):
        try:
            content = msgspec.json.decode(path.read_bytes(), type=_Content)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            continue
        records.append(AccountRecords(content.subaccount, fills=content.fills, settlements=content.settlements))
    return records
