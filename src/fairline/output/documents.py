"""The JSON documents of scans, listings and violations."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import polars as pl

from fairline.kalshi.report import CrawlReport
from fairline.market.listing import Listing
from fairline.market.problem import Problem
from fairline.scanner import ScanResult

Document = dict[str, Any]
"""A JSON object; frames in it are written as arrays of objects."""


def scan_document(
    result: ScanResult, opportunities: pl.DataFrame, unproven: pl.DataFrame, nearest_misses: pl.DataFrame
) -> Document:
    """Return the JSON object of a scan."""
    return {
        "scan": listing_object(result.listing),
        "funnel": [asdict(step) for step in result.funnel],
        "opportunities": opportunities,
        "unproven": unproven,
        "nearest_misses": nearest_misses,
        "problems": problem_objects(result.problems),
    }


def rows_document(listing: Listing, name: str, rows: pl.DataFrame) -> Document:
    """Return the JSON object of a listing with its rows under `name`."""
    document = {"scan": listing_object(listing), name: rows, "problems": problem_objects(listing.problems)}
    funnel = [asdict(step) for step in listing.funnel]
    return document | {"funnel": funnel}


def listing_object(listing: Listing) -> Document:
    """Return what was read, how, and whether it is complete."""
    return {
        "exchange": listing.exchange,
        "started_ts": _iso(listing.started_ts),
        "duration_s": round(listing.duration_s, 3),
        "markets": listing.listed,
        "requests": listing.requests,
        "retries": listing.retries,
        "bytes": listing.bytes,
        "complete": listing.complete,
        "incomplete_reason": "; ".join(listing.incomplete_reasons) or None,
        "crawl": _crawl_object(listing.report),
        "books": {"read": listing.books, "moved": listing.moved},
        "quarantined": [
            {"ticker": row.ticker, "field": row.field, "value": row.value, "reason": row.reason}
            for row in listing.quarantined
        ],
    }


def problem_objects(problems: Sequence[Problem]) -> list[Document]:
    """Return the fields of each problem that are set."""
    return [_set_fields(problem) for problem in problems]


def _set_fields(problem: Problem) -> Document:
    return {name: value for name, value in asdict(problem).items() if isinstance(value, str) and value}


def _crawl_object(report: CrawlReport) -> Document:
    """Return how complete the listing is, and the evidence."""
    return {
        "asof": _iso(datetime.fromtimestamp(report.asof_s, UTC)),
        "pages": report.pages,
        "windows": len(report.walks),
        "duplicates": report.duplicates,
        "conflicts": report.conflicts,
        "late": report.late,
        "rechecked": report.rechecked,
        "resumed_pages": report.resumed_pages,
        "notes": report.notes,
        "missing": [
            {
                "what": walk.description,
                "low_ts": walk.unread.low,
                "high_ts": walk.unread.high,
                "reason": walk.failure,
            }
            for walk in report.missing
        ],
    }


def _iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
