"""What is on offer at this moment, as the last scan of a watch left it in the store."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl
from rich.console import Group, RenderableType
from rich.text import Text

from fairline.output.tables import change_table
from fairline.output.terminal import BELIEVED_EV, View, opportunity_grid
from fairline.store.store import Store

_KEY = ["ticker", "side", "model"]


@dataclass(frozen=True, slots=True)
class Current:
    """The open opportunities in readers' units, best first, and the last scan: when it was and how it ended."""

    exchange: str
    opportunities: pl.DataFrame
    scanned_ts: datetime | None
    outcome: str

    def document(self, rows: pl.DataFrame) -> dict[str, Any]:
        """Return the JSON object with these of the opportunities."""
        scanned = None if self.scanned_ts is None else self.scanned_ts.isoformat().replace("+00:00", "Z")
        return {"exchange": self.exchange, "scanned_ts": scanned, "outcome": self.outcome, "opportunities": rows}


def read_current(store: Store, exchange: str) -> Current:
    """Read the opportunities that no later scan reported as gone. Raises `StoreError`."""
    edges = store.read("edges").unique(_KEY, keep="last", maintain_order=True)
    still_open = edges.filter((pl.col("change") != "gone") & (pl.col("close_ts") > datetime.now(UTC)))
    ranked = still_open.sort("suspect", "believed_ev_u", descending=[False, True], nulls_last=True)
    scans = store.read("scans").tail(1).to_dicts()
    table = change_table(ranked, exchange).rename({"seen_ts": "since"}).drop("reason")
    if not scans:
        return Current(exchange, table, None, "")
    return Current(exchange, table, scans[0]["seen_ts"], scans[0]["outcome"])


def current_report(current: Current, shown: pl.DataFrame, view: View, now: datetime, *, more: int) -> RenderableType:
    """Return the open opportunities, and how old they are."""
    parts: list[RenderableType] = [_summary(current, now)]
    if shown.is_empty():
        parts.append(Text("Nothing is on offer."))
    else:
        parts.append(opportunity_grid(shown, view, BELIEVED_EV))
    if more:
        parts.append(Text(f"… and {more:,} more; --top shows more, --output FILE writes all."))
    return Group(*parts)


def _summary(current: Current, now: datetime) -> Text:
    if current.scanned_ts is None:
        return Text("No scan was recorded yet.", style="yellow")
    age_s = (now - current.scanned_ts).total_seconds()
    age = f"{age_s:.0f} s" if age_s < 120 else f"{age_s / 60:.0f} min" if age_s < 7_200 else f"{age_s / 3_600:.0f} h"
    style = "" if current.outcome == "done" else "bold red"
    text = f"On offer at {current.exchange} as of the last scan, {age} ago ({current.outcome})"
    return Text(text, style=style)
