"""Tickers as people write them: in any case, with spaces around them, or as an address on kalshi.com."""

import re

import polars as pl

from fairline.kalshi.client import check_ticker

_ADDRESS = re.compile(
    r"(?:https?://)?(?:www\.|demo\.)?kalshi\.com?/(?:markets|events)/(?P<path>[^?#\s]*)(?:\?[^#]*)?(?:#(?P<fragment>\S+))?"
)
_ADDRESS_PATTERN = r"(?i)^(?:https?://)?(?:www\.|demo\.)?kalshi\.com?/(?:markets|events)/"


def parse_market_ticker(text: str) -> str:
    """Return a market's ticker in upper case; of an address on kalshi.com its last part. Raises `UsageError`."""
    return check_ticker(_last_part(text))


def parse_event_ticker(text: str) -> str:
    """Return an event's ticker in upper case; of an address on kalshi.com its last part."""
    return _last_part(text)


def parse_series_ticker(text: str) -> str:
    """Return a series's ticker in upper case; of an address on kalshi.com its first part."""
    match = _ADDRESS.fullmatch(text.strip())
    return match["path"].split("/")[0].upper() if match else text.strip().upper()


def ticker_expr(column: str) -> pl.Expr:
    """Return the column's tickers like `parse_market_ticker` does, without checking them."""
    text = pl.col(column).cast(pl.String).str.strip_chars()
    fragment = text.str.extract(r"#([^#\s]+)$")
    path = text.str.replace(_ADDRESS_PATTERN, "").str.replace(r"[?#].*$", "").str.strip_chars_end("/")
    last = pl.coalesce(fragment, path.str.split("/").list.last())
    return pl.when(text.str.contains(_ADDRESS_PATTERN)).then(last).otherwise(text).str.to_uppercase()


def _last_part(text: str) -> str:
    match = _ADDRESS.fullmatch(text.strip())
    if match is None:
        return text.strip().upper()
    return (match["fragment"] or match["path"].rstrip("/").rpartition("/")[2]).upper()
