"""Reads recorded exchange objects from JSON and JSON Lines files."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fairline.sim.errors import SimError

Object = dict[str, Any]


@dataclass(slots=True)
class Recording:
    """Recorded objects by ticker. Of objects recorded more than once the last one counts."""

    markets: dict[str, Object] = field(default_factory=dict)
    events: dict[str, Object] = field(default_factory=dict)
    series: dict[str, Object] = field(default_factory=dict)
    books: dict[str, Object] = field(default_factory=dict)

    def add(self, item: Object) -> None:
        """Sort an object into the recording by its fields; objects of no known kind are ignored."""
        ticker = item.get("ticker")
        event = item.get("event_ticker")
        if isinstance(event, str):
            if isinstance(ticker, str):
                self.markets[ticker] = item
            elif "series_ticker" in item:
                self.events[event] = {name: value for name, value in item.items() if name != "markets"}
        elif isinstance(ticker, str):
            if isinstance(item.get("orderbook_fp"), dict):
                self.books[ticker] = item["orderbook_fp"]
            elif "fee_type" in item:
                self.series[ticker] = item


def read_recording(path: Path) -> Recording:
    """Read a file, or every `.json` and `.jsonl` file in a folder, taking recorded objects at any depth.

    Raises `SimError` if a file cannot be read or no market was found.
    """
    if not path.exists():
        raise SimError(f"{path} does not exist; a replay needs a file or folder of recorded JSON")
    recording = Recording()
    for file in _files(path):
        for item in _nested_objects(_parse(file)):
            recording.add(item)
    if not recording.markets:
        raise SimError(f"{path} holds no market objects; a replay needs JSON with 'ticker' and 'event_ticker'")
    return recording


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.rglob("*") if file.suffix in (".json", ".jsonl"))


def _parse(file: Path) -> object:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SimError(f"{file} cannot be read as text ({error})") from error
    if file.suffix == ".jsonl":
        return _parse_lines(file, text)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        # A file of several objects is JSON Lines, whatever its name.
        if text.lstrip().startswith("{"):
            return _parse_lines(file, text)
        raise SimError(f"{file} is not JSON (line {error.lineno}: {error.msg})") from error


def _parse_lines(file: Path, text: str) -> list[object]:
    items = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            items.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise SimError(f"{file} is not JSON Lines (line {number}: {error.msg})") from error
    return items


def _nested_objects(value: object) -> Iterator[Object]:
    """Yield every object within a value. Dumps of an old SDK, with `_`-prefixed names, get their wire names back."""
    if isinstance(value, list):
        for item in value:
            yield from _nested_objects(item)
    elif isinstance(value, dict):
        if "discriminator" in value:
            value = {name.removeprefix("_"): item for name, item in value.items() if name != "discriminator"}
        yield value
        yield from _nested_objects(list(value.values()))
