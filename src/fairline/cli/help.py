"""The look of the help: names for values instead of Python types, and no empty defaults."""

import re
from datetime import timedelta
from typing import TYPE_CHECKING

from cyclopts.help import DefaultFormatter

from fairline.text import format_duration

if TYPE_CHECKING:
    from cyclopts.help import HelpEntry, HelpPanel
    from rich.console import Console, ConsoleOptions

_BY_OPTION = {
    "--bankroll": "DOLLARS",
    "--columns": "NAME,NAME",
    "--caps": "MARKET,EVENT,SERIES,DAY",
    "--category": "NAME",
    "--event": "TICKER",
    "--exchange": "NAME|URL",
    "--fault": "NAME[:P[:TIMES]]",
    "--headers": "FILE",
    "--keep": "DATASET=DAYS",
    "--key-id": "ID",
    "--model": "NAME",
    "--other-exchange": "URL",
    "--price": "DOLLARS",
    "--probabilities": "FILE",
    "--profile": "NAME",
    "--public-key": "KEY_ID=FILE",
    "--record": "FOLDER",
    "--scheduler": "ADDRESS",
    "--series": "TICKER",
    "--since": "TIME",
    "--sort": "NAME[:asc|:desc]",
    "--store": "FOLDER",
    "--ticker": "TICKER",
    "--until": "TIME",
}
_BY_TYPE = {"TIMEDELTA": "DURATION", "STR": "TEXT", "INT": "NUMBER", "FLOAT": "NUMBER"}
_NO_DEFAULT = {"False", "()", '""', "none"}


class HelpFormatter(DefaultFormatter):
    """The default help page with names for values and without empty defaults."""

    def __call__(self, console: "Console", options: "ConsoleOptions", panel: "HelpPanel") -> None:
        """Print one panel of a help page."""
        super().__call__(console, options, panel.copy(entries=[_tidy_entry(entry) for entry in panel.entries]))


def _tidy_entry(entry: "HelpEntry") -> "HelpEntry":
    metavar = entry.metavar
    if metavar is not None:
        option = next((name for name in entry.positive_names if name in _BY_OPTION), "")
        metavar = _BY_OPTION.get(option) or _BY_TYPE.get(metavar.removesuffix("..."), metavar)
    return entry.copy(metavar=metavar, default=_shown_default(entry.default))


def _shown_default(text: str | None) -> str | None:
    if text is None or text in _NO_DEFAULT:
        return None
    if re.fullmatch(r"(\d+ days?, )?\d+:\d\d:\d\d", text):
        return _short_duration(text)
    return text.strip("()")


def _short_duration(text: str) -> str:
    """Return `2m` for `0:02:00`."""
    days, _, clock = text.rpartition(", ")
    hours, minutes, seconds = (int(part) for part in clock.split(":"))
    return format_duration(
        timedelta(int(days.split()[0]) if days else 0, hours=hours, minutes=minutes, seconds=seconds)
    )
