"""The JSON of a scan."""

import io
import json

from fairline.kalshi.decoding import Rejected
from fairline.output.formats import write_document
from tests.unit.output.reports import rain_scan


def document(**more):
    report = rain_scan(**more)
    stream = io.BytesIO()
    write_document(stream, report.document(report.opportunities))
    return json.loads(stream.getvalue())


def test_the_json_of_a_scan_has_the_documented_shape_and_units():
    got = document()
    assert list(got) == ["scan", "funnel", "opportunities", "unproven", "nearest_misses", "problems"]
    assert set(got["scan"]) == {
        "exchange", "started_ts", "duration_s", "markets", "requests", "retries", "bytes", "complete",
        "incomplete_reason", "quarantined", "crawl", "books",
    }  # fmt: skip
    (row,) = got["opportunities"]
    expected = [
        "ticker", "event_ticker", "series_ticker", "category", "outcome", "title", "side", "p", "p_sd", "model",
        "price", "fee", "edge_points", "ev_per_contract", "ev_per_dollar", "p_believed", "belief", "belief_events",
        "belief_source", "believed_ev_per_contract", "believed_ev_per_dollar", "believed_ev", "yearly_return", "kelly",
        "spread_percent", "size", "decided_at", "closes_at", "in_play", "url", "suspect",
    ]  # fmt: skip
    assert list(row)[: len(expected)] == expected
    assert (row["price"], row["fee"], row["edge_points"], row["ev_per_contract"]) == (0.62, 0.0165, 8.0, 0.0635)
    assert (row["size"], row["closes_at"]) == (20.0, "2026-12-01T00:00:00Z")
    assert (row["title"], row["outcome"]) == ("Rain?", "Dorport")
    assert got["scan"]["started_ts"] == "2026-11-22T00:00:00Z"


def test_an_incomplete_scan_gives_its_reason():
    got = document(incomplete_reasons=["the listing ended after page 3"])
    assert (got["scan"]["complete"], got["scan"]["incomplete_reason"]) == (False, "the listing ended after page 3")
    assert document()["scan"]["incomplete_reason"] is None


def test_the_funnel_starts_with_unreadable_rows():
    got = document(quarantined=[Rejected("X", "yes_bid_dollars", "null", "why")], unreadable=1)
    assert got["funnel"][0] == {"step": "listed and readable", "kept": 2, "dropped": 1, "share": 0.333333}
    assert got["scan"]["quarantined"][0] == {
        "ticker": "X",
        "field": "yes_bid_dollars",
        "value": "null",
        "reason": "why",
    }
