import io
import json
from pathlib import Path

import polars as pl
import pytest

from fairline.errors import OutputError, UsageError
from fairline.kalshi.decoding import Rejected
from fairline.market.listing import Listing
from fairline.market.problem import Problem
from fairline.models import TableModel
from fairline.output import tables, terminal
from fairline.output.console import open_console
from fairline.output.files import choose_format, write_whole
from fairline.output.writers import encode_table
from fairline.scanner import evaluate
from fairline.sources import Payload
from tests.unit.pricing.test_edge import LOOSE, NOW, markets
from tests.unit.test_scanner import Stub


def listing(frame, **more):
    values = {
        "markets": frame, "exchange": "http://127.0.0.1:1/trade-api/v2", "started_ts": NOW, "duration_s": 1.23456,
        "listed": frame.height, "requests": 3, "retries": 1, "bytes": 1_000, "incomplete_reasons": [],
        "quarantined": [], "unreadable": 0, "funnel": [], "tickers": frame["ticker"],
    }  # fmt: skip
    return Listing(**(values | more))


def document(**more):
    frame = markets({"yes_bid_dollars": "0.61", "title": "Rain?", "yes_sub_title": "Dorport"}, {})
    evaluation = evaluate(frame, [Stub(("T0", 0.7, 0.05))], {}, asof=NOW)
    return tables.scan_document(listing(frame, **more), evaluation)


def test_the_json_of_a_scan_has_the_documented_shape_and_units():
    got = json.loads(tables.encode_json(document()))
    assert list(got) == ["scan", "funnel", "opportunities", "unproven", "nearest_misses", "problems"]
    assert set(got["scan"]) == {
        "exchange", "started_ts", "duration_s", "markets", "requests", "retries", "bytes", "complete",
        "incomplete_reason", "quarantined", "crawl", "books",
    }  # fmt: skip
    (row,) = got["opportunities"]
    assert list(row) == [
        "ticker", "event_ticker", "series_ticker", "category", "title", "side", "p", "p_sd", "model", "price", "fee",
        "edge_points", "ev_per_contract", "ev_per_dollar", "p_believed", "belief", "belief_events", "belief_source",
        "believed_ev_per_contract", "believed_ev_per_dollar", "believed_ev", "yearly_return", "kelly", "spread_percent",
        "size", "decided_at", "closes_at",
        "in_play", "url", "suspect",
    ]  # fmt: skip
    assert (row["price"], row["fee"], row["edge_points"], row["ev_per_contract"]) == (0.62, 0.0165, 8.0, 0.0635)
    assert (row["size"], row["closes_at"]) == (20.0, "2026-12-01T00:00:00Z")
    assert row["title"] == "Rain? · Dorport"
    assert got["scan"]["started_ts"] == "2026-11-22T00:00:00Z"


def test_an_incomplete_scan_says_so_with_its_reason():
    got = document(incomplete_reasons=["the listing ended after page 3"])
    assert (got["scan"]["complete"], got["scan"]["incomplete_reason"]) == (False, "the listing ended after page 3")
    assert document()["scan"]["incomplete_reason"] is None


def test_the_funnel_starts_with_what_could_not_be_read():
    got = document(quarantined=[Rejected("X", "yes_bid_dollars", "null", "why")], unreadable=1)
    assert got["funnel"][0] == {"step": "listed and readable", "kept": 2, "dropped": 1, "share": 0.333333}
    assert got["scan"]["quarantined"][0] == {
        "ticker": "X",
        "field": "yes_bid_dollars",
        "value": "null",
        "reason": "why",
    }


def test_what_no_record_supports_is_a_list_and_a_section_of_its_own(capsys):
    frame = markets({"yes_bid_dollars": "0.61"}, {"yes_bid_dollars": "0.61"})
    models = [Stub(("T0", 0.7, None), name="elo"), Stub(("T1", 0.7, None), name="mine")]
    evaluation = evaluate(frame, models, {}, asof=NOW)
    got = json.loads(tables.encode_json(tables.scan_document(listing(frame), evaluation)))
    assert [row["ticker"] for row in got["opportunities"]] == ["T1"]
    assert [(row["ticker"], row["belief"], row["belief_source"]) for row in got["unproven"]] == [("T0", 0.0, "none")]
    assert got["unproven"][0]["kelly"] == 0.0
    open_console().print(terminal.scan_report(listing(frame), evaluation))
    shown = capsys.readouterr().out
    assert shown.index("Believed:") < shown.index("T1") < shown.index("Unproven:") < shown.rindex("T0")
    assert "nothing is promised" in shown


def test_a_first_scan_with_a_built_in_model_is_not_empty(capsys):
    frame = markets({"yes_bid_dollars": "0.61"})
    evaluation = evaluate(frame, [Stub(("T0", 0.7, None), name="elo")], {}, asof=NOW)
    open_console().print(terminal.scan_report(listing(frame), evaluation))
    shown = capsys.readouterr().out
    assert "Believed: nothing. No record supports" in shown
    assert "Unproven:" in shown


def test_csv_and_parquet_hold_the_same_rows():
    frame = markets({"yes_bid_dollars": "0.61"})
    kept = evaluate(frame, [Stub(("T0", 0.7, None))], {}, asof=NOW, rules=LOOSE).opportunities
    table = tables.opportunity_table(kept, "http://x")
    parquet = pl.read_parquet(io.BytesIO(tables.encode(table, "parquet")))
    csv = pl.read_csv(tables.encode(table, "csv"))
    assert parquet.equals(table)
    assert csv.columns == table.columns
    assert csv["closes_at"].to_list() == ["2026-12-01T00:00:00Z"]
    assert csv["price"].to_list() == table["price"].to_list()


def test_a_market_with_brackets_in_its_title_prints_as_it_is(capsys):
    frame = markets({"yes_bid_dollars": "0.61", "title": "Will [bold]X[/] win :smile:?"})
    evaluation = evaluate(frame, [Stub(("T0", 0.7, None))], {}, asof=NOW)
    open_console().print(terminal.scan_report(listing(frame), evaluation))
    assert "Will [bold]X[/] win :smile:?" in capsys.readouterr().out


def test_the_terminal_shows_incompleteness_problems_and_quarantine(capsys):
    frame = markets({})
    made = listing(
        frame,
        incomplete_reasons=["page 2 failed"],
        quarantined=[Rejected(f"Q{i}", "close_time", '"x"', "bad") for i in range(12)],
        problems=[Problem("not known", stage="series")],
    )
    open_console().print(terminal.scan_report(made, evaluate(frame, [], {}, asof=NOW)))
    shown = capsys.readouterr().out
    for text in (
        "INCOMPLETE: page 2 failed",
        "series: not known",
        "12 rows quarantined",
        "and 4 more",
        "No market passed",
    ):
        assert text in shown


def test_a_file_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    target = tmp_path / "out.json"
    write_whole(target, b"first")
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OutputError, match="No space left"):
        write_whole(target, b"second")
    assert target.read_bytes() == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(OutputError, match="cannot write"):
        write_whole(tmp_path / "gone" / "out.json", b"x")


@pytest.mark.parametrize(
    "given,output,chosen",
    [
        (None, None, "table"),
        ("json", "x.csv", "json"),
        (None, "x.CSV", "csv"),
        (None, "x.parquet", "parquet"),
        (None, "x.json", "json"),
    ],
)
def test_the_format_follows_the_flag_then_the_files_name(tmp_path, given, output, chosen):
    assert choose_format(given, tmp_path / output if output else None) == chosen


@pytest.mark.parametrize(
    ("given", "output", "sentence"),
    [("table", "x.csv", "a table is for the terminal"), (None, "x.txt", "does not say its format")],
)
def test_an_output_that_would_not_be_written_is_refused(tmp_path, given, output, sentence):
    with pytest.raises(UsageError, match=sentence):
        choose_format(given, tmp_path / output)


def test_an_output_that_cannot_be_written_is_refused_before_the_work(tmp_path):
    for path in (tmp_path, tmp_path / "gone" / "x.csv"):
        with pytest.raises(OutputError):
            choose_format("csv", path)


def test_links_devices_and_modes_are_respected(tmp_path):
    target, link = tmp_path / "real.csv", tmp_path / "link.csv"
    target.write_text("old")
    target.chmod(0o600)
    link.symlink_to(target)
    write_whole(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert target.stat().st_mode & 0o777 == 0o600
    write_whole(Path("/dev/null"), b"x")
    assert not Path("/dev/null").is_file()


def test_an_unknown_format_is_refused():
    with pytest.raises(UsageError, match="there is no format 'xml'"):
        choose_format("xml", None)


def test_the_template_of_a_table_is_a_table_without_probabilities():
    content = b"".join(encode_table(tables.template_rows(markets({"title": "Rain?"}, {})), "csv"))
    table = pl.read_csv(content)
    assert table.columns[:4] == ["ticker", "p", "p_sd", "asof"]
    assert table["p"].null_count() == table.height == 2
    model = TableModel(Path("mine.csv"))
    model.check(content)
    filled = content.replace(b"T0,,", b"T0,0.7,")
    (request,) = model.requests(markets({}), NOW)
    rows = model.predict(markets({}, {}), {request: Payload(request, NOW, filled)}, NOW)
    assert rows.filter(pl.col("p").is_not_null())["ticker"].to_list() == ["T0"]
