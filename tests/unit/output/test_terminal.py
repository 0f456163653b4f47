"""Terminal reports."""

from datetime import timedelta

import pytest

from fairline.kalshi.decoding import Rejected
from fairline.market.funnel import FunnelStep
from fairline.market.problem import Problem
from fairline.output.console import open_console
from fairline.output.tables import market_table
from fairline.output.terminal import View, age_text, coherence_report, markets_report
from fairline.pricing.coherence import violations
from tests.unit.output.reports import listing, rain_scan, scan
from tests.unit.pricing.test_edge import NOW, markets
from tests.unit.test_scanner import Stub


def print_text(capsys, renderable):
    open_console().print(renderable)
    return capsys.readouterr().out


def report_of(report, view=View()):
    return report.text(report.opportunities, view)


def test_brackets_in_a_title_are_not_markup(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    frame = markets({"yes_bid_dollars": "0.61", "title": "Will [bold]X[/] win :smile:?"})
    assert "Will [bold]X[/] win :smile:?" in print_text(capsys, report_of(scan(frame, Stub(("T0", 0.7, None)))))


def test_incompleteness_problems_and_quarantined_rows_are_shown(capsys):
    report = scan(
        markets({}),
        incomplete_reasons=["page 2 failed"],
        quarantined=[Rejected(f"Q{i}", "close_time", '"x"', "bad") for i in range(12)],
        problems=[Problem("not known", stage="series")],
    )
    shown = print_text(capsys, report_of(report))
    for text in ("INCOMPLETE: page 2 failed", "series: not known", "12 rows quarantined", "and 4 more", "No market"):
        assert text in shown


def test_what_no_record_supports_is_a_section_of_its_own(capsys):
    frame = markets({"yes_bid_dollars": "0.61"}, {"yes_bid_dollars": "0.61"})
    report = scan(frame, Stub(("T0", 0.7, None), name="elo"), Stub(("T1", 0.7, None), name="mine"))
    assert report.opportunities["ticker"].to_list() == ["T1"]
    row = report.unproven.row(0, named=True)
    assert (row["ticker"], row["belief"], row["belief_source"], row["kelly"]) == ("T0", 0.0, "none", 0.0)
    shown = print_text(capsys, report_of(report))
    assert shown.index("Believed:") < shown.index("T1") < shown.index("Unproven:") < shown.rindex("T0")
    assert "nothing is promised" in shown


def test_a_first_scan_with_a_built_in_model_is_not_empty(capsys):
    frame = markets({"yes_bid_dollars": "0.61"})
    shown = print_text(capsys, report_of(scan(frame, Stub(("T0", 0.7, None), name="elo"))))
    assert "Believed: nothing. No record supports" in shown
    assert "Unproven:" in shown


def test_the_outcome_comes_before_the_question(capsys):
    heading = next(line for line in print_text(capsys, report_of(rain_scan())).splitlines() if "Ticker" in line)
    assert heading.index("Outcome") < heading.index("Side") < heading.index("Question")


def test_chosen_columns_are_shown_under_their_own_names(capsys):
    report = rain_scan()
    shown = print_text(capsys, report_of(report, View(("ticker", "ev_per_contract"))))
    assert shown.splitlines()[2].split() == ["ticker", "ev_per_contract"]


def test_local_time_is_named_in_the_heading(capsys):
    shown = print_text(capsys, report_of(rain_scan(), View(local_time=True)))
    assert "local" in shown
    assert "UTC" not in shown


def test_an_empty_listing_names_the_filter_that_dropped_the_last_market(capsys):
    empty = listing(
        markets({}).clear(), listed=5, funnel=[FunnelStep("still open", 5, 0), FunnelStep("closes within 7d", 0, 5)]
    )
    rows = market_table(empty.markets)
    assert "closes within 7d" in print_text(capsys, markets_report(empty, rows, View(), "by volume"))
    nothing = violations(empty.markets, asof=NOW)
    assert "closes within 7d" in print_text(capsys, coherence_report(empty, nothing, nothing))


@pytest.mark.parametrize(
    ("age", "text"),
    [
        (timedelta(seconds=40), "40 s"),
        (timedelta(minutes=12), "12 min"),
        (timedelta(hours=3, minutes=12), "3.2 h"),
        (timedelta(days=9), "9.0 days"),
        (timedelta(seconds=-5), "0 s"),
    ],
)
def test_an_age_is_shown_in_its_largest_unit(age, text):
    assert age_text(age) == text
