"""A market's recorded history: what the store knows, and the file that shows it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from fairline.errors import InputError
from fairline.output.charts import history_figure, write_figure
from fairline.output.html import history_page
from fairline.store.store import Store


@dataclass(frozen=True, slots=True)
class MarketHistory:
    """The quotes of a market, the models' predictions, and the changes of its opportunities."""

    ticker: str
    title: str
    quotes: pl.DataFrame
    predictions: pl.DataFrame
    edges: pl.DataFrame

    def render(self, path: Path) -> bytes:
        """Return the chart as a file of this name: .html, .png or .svg. Raises `UsageError` for others."""
        if path.suffix.lower() == ".html":
            return history_page(self.ticker, self.title, self.quotes, self.predictions, self.edges).encode()
        return write_figure(history_figure(self.ticker, self.quotes, self.predictions, self.edges), path)

    def document(self) -> dict[str, Any]:
        """Return the history as JSON."""
        return {
            "ticker": self.ticker,
            "quotes": self.quotes,
            "predictions": self.predictions,
            "edges": self.edges,
        }


def read_history(store: Store, ticker: str, start: datetime | None) -> MarketHistory:
    """Read the history of a market since `start`. Raises `InputError` if there are no quotes."""
    quotes = store.history(ticker, start)
    if quotes.is_empty():
        raise InputError(f"the store has no quotes of {ticker}", remedy="Check the ticker and the store")
    of_market = pl.col("ticker") == ticker
    titles = store.latest("facts", datetime.now(UTC), of_market)["title"].to_list()
    predictions = store.read("predictions", since=start, where=of_market)
    return MarketHistory(ticker, (titles[0] if titles else "") or "", quotes, predictions, _edges(store, ticker, start))


def _edges(store: Store, ticker: str, start: datetime | None) -> pl.DataFrame:
    """Return the changes since `start`, and the last ones before it, which may still hold."""
    edges = store.read("edges", where=pl.col("ticker") == ticker)
    if start is None:
        return edges
    before = edges.filter(pl.col("seen_ts") <= start).unique(["side", "model"], keep="last", maintain_order=True)
    return pl.concat([before.filter(pl.col("change") != "gone"), edges.filter(pl.col("seen_ts") > start)])
