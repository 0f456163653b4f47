"""What to believe: the shipped records, the user's own record from the store, and the user's trust."""

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import msgspec

from fairline.config.connect import memory_of, store_folder
from fairline.config.settings import Settings
from fairline.errors import StoreError, UsageError
from fairline.pricing.belief import Beliefs, Record
from fairline.pricing.records import shipped_records
from fairline.scoring.records import read_records
from fairline.store.store import Store

_CACHE = "records"
_MAX_AGE_S = 6 * 3_600
_NOTABLE_CHANGE = 0.05
"""A change of k that is announced."""


class _Row(msgspec.Struct):
    model: str
    category: str
    k: float
    cap: float
    estimate: float
    standard_error: float
    events: int
    first_day: str
    last_day: str


class _Fitted(msgspec.Struct):
    """Records as they were fitted at a Unix time, of the store in a folder."""

    folder: str
    fitted_s: float
    records: list[_Row]


def load_beliefs(
    settings: Settings, trust: float, notify: Callable[[str], None], *, folder: Path | None = None, fresh: bool = False
) -> Beliefs:
    """Return the beliefs for one exchange.

    The store's records are fitted again when they are older than six hours, or now with `fresh`; a notable change is
    announced. A store that cannot be read is announced too, and the shipped records are used alone. Raises `UsageError`
    for a trust that is not between 0 and 1.
    """
    if not 0 <= trust <= 1:
        raise UsageError("expected a share from 0 to 1", field="trust")
    folder = store_folder(settings, folder)
    if not (folder / "store.json").exists():
        return Beliefs(shipped_records(), trust)
    cache = memory_of(settings)
    before = cache.load(_CACHE, _Fitted)
    known = before is not None and before.folder == str(folder)
    if before is not None and known and not fresh and 0 <= time.time() - before.fitted_s < _MAX_AGE_S:
        return _beliefs(before, trust)
    try:
        after = _fit(folder, settings)
    except StoreError as error:
        notify(f"the record of your models cannot be read from the store: {error}")
        return Beliefs(shipped_records(), trust)
    cache.save(_CACHE, after)
    beliefs = _beliefs(after, trust)
    if before is not None and known:
        _announce(_beliefs(before, trust), beliefs, after, notify)
    return beliefs


def _fit(folder: Path, settings: Settings) -> _Fitted:
    records = read_records(Store(folder, settings.environment))
    names = _Row.__struct_fields__
    rows = [_Row(**{name: value for name, value in asdict(record).items() if name in names}) for record in records]
    return _Fitted(str(folder), time.time(), rows)


def _beliefs(fitted: _Fitted, trust: float) -> Beliefs:
    own = tuple(Record(**msgspec.structs.asdict(row), source="store") for row in fitted.records)
    return Beliefs((*shipped_records(), *own), trust)


def _announce(before: Beliefs, after: Beliefs, fitted: _Fitted, notify: Callable[[str], None]) -> None:
    for row in fitted.records:
        old = before.for_model(row.model, row.category)
        new = after.for_model(row.model, row.category)
        if abs(new.k - old.k) >= _NOTABLE_CHANGE:
            notify(
                f"{row.model} in {row.category}: {new.k:.0%} of its disagreement with the price is believed "
                f"(was {old.k:.0%}), after {row.events:,} settled events"
            )
