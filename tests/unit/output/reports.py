"""Listings and reports that the tests of this folder share."""

from fairline.api.reports import ScanReport
from fairline.market.listing import Listing
from fairline.pricing.rules import Rules
from fairline.scanner import ScanResult, evaluate
from tests.unit.pricing.test_edge import NOW, markets
from tests.unit.test_scanner import Stub


def listing(frame, **more):
    values = {
        "markets": frame,
        "exchange": "http://127.0.0.1:1/trade-api/v2",
        "started_ts": NOW,
        "duration_s": 1.23456,
        "listed": frame.height,
        "requests": 3,
        "retries": 1,
        "bytes": 1_000,
        "incomplete_reasons": [],
        "quarantined": [],
        "unreadable": 0,
        "funnel": [],
        "tickers": frame["ticker"],
    }
    return Listing(**(values | more))


def scan(frame, *stubs, rules=None, **more):
    """Return a scan of these markets by these models."""
    rules = rules or Rules()
    evaluation = evaluate(frame, list(stubs), {}, asof=NOW, rules=rules)
    return ScanReport(ScanResult(listing(frame, **more), evaluation), rules, ("stub",))


def rain_scan(**more):
    frame = markets({"yes_bid_dollars": "0.61", "title": "Rain?", "yes_sub_title": "Dorport"}, {})
    return scan(frame, Stub(("T0", 0.7, 0.05)), **more)
