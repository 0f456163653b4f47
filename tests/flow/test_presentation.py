"""What people see, as processes and files show it. Each test is named after its line of the plan."""

import csv
import io
import json
import re
from datetime import UTC, datetime

import polars as pl
import pytest

from fairline.sim import Exchange
from fairline.store.store import Store
from fairline.watch.alerts import Item, Kind
from fairline.watch.state import State
from tests.flow.test_cli import fairline, forecast, one_line, process
from tests.flow.watching import Watched

__all__ = ["fairline", "forecast"]
WIDTHS = [60, 80, 100, 140]


@pytest.fixture
def at(exchange, forecast):
    """A scan of the simulator with probabilities that disagree with it."""
    return ("--exchange", exchange.url, "--probabilities", forecast)


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """The folder of a short watch of a fast world, and what it printed."""
    folder = tmp_path_factory.mktemp("watched")
    with (
        Exchange(markets=600, seed=5, moves=1, speed=20_000) as exchange,
        Watched(folder, exchange, scans=6) as watch,
    ):
        assert watch.process.wait(timeout=90) == 0, watch.output()
    return watch.store, watch.output()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("command", ["scan", "markets"])
def test_f1_no_line_is_wider_than_the_terminal_and_no_ticker_or_number_is_cut(fairline, at, width, command):
    options = at if command == "scan" else at[:2]
    environ = {"COLUMNS": str(width)}
    tickers = [row["ticker"] for row in rows(fairline(command, *options, "--format", "csv", "--top", "10"))]
    shown = fairline(command, *options, "--top", "10", environ=environ).stdout
    assert max(map(len, shown.splitlines())) <= width
    assert len(tickers) == 10
    assert all(ticker in shown for ticker in tickers)
    assert not re.search(r"\d…", shown)


def test_f1_output_in_ascii_works():
    options = ("--type", "quadratic", "--multiplier", "1", "--price", "0.1")
    done = process("fees", *options, environ={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()


def test_f2_the_outcome_stands_before_the_question(fairline, at, watched):
    shown = fairline("scan", *at, environ={"COLUMNS": "220"}).stdout
    heads = next(line for line in shown.splitlines() if line.startswith("Ticker")).split()
    assert heads[1] == "Outcome"
    assert heads[-1] == "Question"
    row = json.loads(fairline("scan", *at, "--json").stdout)["opportunities"][0]
    explained = fairline("explain", row["ticker"], *at, environ={"COLUMNS": "200"}).stdout
    assert row["outcome"] in explained.splitlines()[0]
    stored = Store(watched[0]).read("edges")["title"]
    assert stored.str.contains(" · ").any()


@pytest.mark.parametrize("form", ["json", "jsonl", "csv", "tsv", "markdown"])
def test_f3_top_means_the_same_in_every_format(fairline, at, form):
    done = fairline("scan", *at, "--format", form, "--top", "3")
    assert len(rows(done, form)) == 3


def test_f3_the_ranking_key_is_a_column_and_the_order_and_the_columns_can_be_chosen(fairline, at):
    ranked = rows(fairline("scan", *at, "--format", "csv"))
    keys = [float(row["believed_ev"]) for row in ranked]
    assert keys == sorted(keys, reverse=True)
    chosen = rows(
        fairline(
            "markets", *at[:2], "--format", "csv", "--sort", "spread_percent", "--columns", "ticker,spread_percent"
        )
    )
    assert list(chosen[0]) == ["ticker", "spread_percent"]
    one_line(fairline("markets", *at[:2], "--columns", "tickr"), 2, "--columns", "ticker")


def test_f4_a_watch_prints_what_appeared_and_went(watched):
    assert re.search(r"appeared: \S+ (YES|NO) at \$0\.\d{3}, p 0\.\d{3} by above", watched[1])
    assert "gone: " in watched[1]


def test_f4_a_watch_writes_changes_as_json_lines_on_request(exchange, forecast, tmp_path):
    done = process(
        "watch", "--exchange", exchange.url, "--probabilities", forecast, "--json", "--scans", 1,
        "--store", tmp_path / "store", "--port", 0,
    )  # fmt: skip
    changes = [json.loads(line) for line in done.stdout.splitlines()]
    assert changes, done.stderr
    assert {change["change"] for change in changes} == {"appeared"}
    assert {"ticker", "side", "price", "p", "model", "seen_ts", "url"} <= set(changes[0])


def test_f4_now_lists_what_is_on_offer(fairline, watched):
    got = json.loads(fairline("now", "--store", watched[0], "--json").stdout)
    assert got["scanned_ts"]
    assert "as of the last scan" in fairline("now", "--store", watched[0]).stdout


def test_f4_times_are_local_on_request(fairline, at):
    environ = {"TZ": "America/New_York", "COLUMNS": "200"}
    utc = fairline("markets", *at[:2], "--top", "1", environ=environ).stdout
    local = fairline("markets", *at[:2], "--top", "1", "--local-time", environ=environ).stdout
    assert utc != local


def test_f5_history_draws_a_probability_that_never_changes_and_labels_its_axes(fairline, watched, tmp_path):
    ticker = Store(watched[0]).read("edges")["ticker"][0]
    shown = fairline("history", ticker, "--store", watched[0]).stdout
    assert "b bid" in shown
    assert "a ask" in shown
    fairline("history", ticker, "--store", watched[0], "--output", tmp_path / "h.svg")
    drawn = (tmp_path / "h.svg").read_text()
    assert "time (UTC)" in drawn
    assert "price of YES" in drawn


def test_f6_scan_takes_defaults_from_the_file_and_the_command_line_wins(fairline, at, settings_file):
    settings_file('[scan]\ncategory = ["Sports"]\nbooks = false\nmin_edge = 4\ndecided_within = "30d"\ntop = 2\n')
    got = json.loads(fairline("scan", *at, "--json").stdout)
    assert len(got["opportunities"]) == 2
    assert {row["category"] for row in got["opportunities"]} == {"Sports"}
    assert min(row["edge_points"] for row in got["opportunities"]) >= 4
    assert len(json.loads(fairline("scan", *at, "--json", "--top", "5").stdout)["opportunities"]) == 5


def test_f6_models_on_the_command_line_replace_those_of_the_file(fairline, at, settings_file):
    settings_file('[scan]\nmodel = ["elo", "weather"]\n')
    got = json.loads(fairline("scan", *at, "--json").stdout)
    assert {row["model"] for row in got["opportunities"]} == {"mine.csv"}


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        ("[scan]\nmin_egde = 3", ("unknown key 'min_egde' in [scan]", "Did you mean min_edge?")),
        ("[scan]\nmin_edge = 'much'", ("invalid min_edge in [scan]", "a number")),
        ("[scan]\nmin_edge = [1, 2]", ("invalid min_edge in [scan]", "one value")),
        ("[scan]\nkey_id = 'x'", ("unknown key 'key_id' in [scan]",)),
        ("[scan]\nmodel = 'mine.py:Model'", ("must not name code to run",)),
        ("[watch]\nevry = '60s'", ("unknown key 'evry' in [watch]", "Did you mean every?")),
        ("[watch]\ndead_mann = '60s'", ("unknown key 'dead_mann' in [watch]", "Did you mean dead_man?")),
    ],
)
def test_f6_a_misspelt_or_invalid_key_is_named_with_a_hint(fairline, settings_file, text, fragments):
    settings_file(text)
    command = "watch" if text.startswith("[watch]") else "scan"
    one_line(fairline(command, "--exchange", "http://127.0.0.1:1"), 2, *fragments)


def test_f6_alerts_are_listed_and_checked_before_the_first_watch(fairline, settings_file, tmp_path):
    settings_file("[alerts.large]\nto = []\nmin_edge = 5\n")
    done = fairline("alerts", "list", "--store", tmp_path / "none")
    assert done.returncode == 0, done.stderr
    assert "large" in done.stdout


def test_f6_delayed_refused_and_undeliverable_messages_are_told_apart(fairline, settings_file, tmp_path):
    settings_file('[receivers]\nphone = "json://127.0.0.1:1"\n[alerts.large]\nto = ["phone"]\n')
    store, now = Store(tmp_path / "store"), datetime.now(UTC)
    store.acquire()
    store.release()
    state = State(store.folder)
    state.save_decision("large", [Item(("KXA-1", "yes", "elo"), Kind.APPEARED, "text")], [], now)
    state.set_note("held:large", "quiet hours")
    for receiver in ("phone", "pager"):
        state.enqueue("large", [receiver], ("title", "text"), now)
    state.postpone(state.pending_messages()[0], now)
    state.close()
    shown = fairline("alerts", "list", "--store", store.folder).stdout
    assert "rule large: 1 changes delayed (quiet hours)" in shown
    assert "receiver phone: 1 messages waiting; NOT accepted in 1 attempts, still trying" in shown
    assert "receiver pager was removed: 1 messages never sent" in shown


def test_f6_follow_does_not_follow_a_market_called_list(fairline, tmp_path):
    one_line(fairline("follow", "list", "--store", tmp_path), 2, "LIST is not a market")


@pytest.mark.parametrize("command", [("markets",), ("coherence",), ("scan",)])
@pytest.mark.parametrize("form", ["json", "jsonl", "csv", "tsv", "markdown", "parquet"])
def test_f6_one_option_for_formats(fairline, at, tmp_path, command, form):
    file = tmp_path / f"out.{form}"
    options = at if command == ("scan",) else at[:2]
    assert fairline(*command, *options, "--format", form, "--output", file).returncode == 0
    assert file.stat().st_size


def test_f7_tickers_in_any_case_and_copied_addresses_work(fairline, at, tmp_path):
    row = json.loads(fairline("scan", *at, "--json").stdout)["opportunities"][0]
    ticker = row["ticker"]
    address = f"https://kalshi.com/markets/{ticker.split('-')[0].lower()}/words/{ticker.lower()}"
    for written in (ticker.lower(), f"  {ticker} ", address):
        assert ticker in fairline("explain", written, *at).stdout
    file = tmp_path / "written.csv"
    pl.DataFrame({"ticker": [address], "p": [row["p"]]}).write_csv(file)
    got = json.loads(fairline("scan", *at[:2], "--probabilities", file, "--json").stdout)
    assert [one["ticker"] for one in got["opportunities"]] == [ticker]


@pytest.mark.parametrize(
    "content",
    [
        "ticker;p\n{ticker};{p}\n",
        "ticker,p\n{ticker},{p}\n",
        "ticker\tp\n{ticker}\t{percent}%\n",
    ],
)
def test_f7_semicolons_utf16_and_percentages_are_read(fairline, at, tmp_path, content):
    row = json.loads(fairline("scan", *at, "--json").stdout)["opportunities"][0]
    file = tmp_path / "written.csv"
    file.write_text(content.format(ticker=row["ticker"], p=row["p"], percent=100 * row["p"]), encoding="utf-16")
    got = json.loads(fairline("scan", *at[:2], "--probabilities", file, "--json").stdout)
    assert [one["ticker"] for one in got["opportunities"]] == [row["ticker"]]


def test_f7_a_file_without_the_columns_is_refused_with_the_columns_found(fairline, at, tmp_path):
    file = tmp_path / "wrong.csv"
    file.write_text("market,chance\nX-1,0.5\n")
    done = fairline("scan", *at[:2], "--probabilities", file)
    assert done.returncode in (1, 2)
    assert "market, chance" in done.stderr


def test_g_a_scan_without_arguments_uses_models_without_keys_and_says_how_to_add_your_own(fairline, exchange):
    done = fairline("scan", "--exchange", exchange.url)
    assert done.returncode == 0, done.stderr
    assert "Believed" in done.stdout
    assert "--probabilities FILE" in done.stderr


@pytest.mark.parametrize("command", ["markets", "coherence", "scan"])
def test_a4_an_empty_answer_names_the_filter_that_emptied_it(fairline, at, command):
    options = at if command == "scan" else at[:2]
    done = fairline(command, *options, "--category", "sports", "--max-price", "0.0001")
    assert re.search("price", done.stdout + done.stderr)


@pytest.fixture
def settings_file(tmp_path, monkeypatch):
    """Write a fairline.toml into the current folder."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return (folder / "fairline.toml").write_text


def rows(done, form="csv"):
    """Return the rows of an output."""
    assert done.returncode == 0, done.stderr
    if form == "json":
        return json.loads(done.stdout)["opportunities"]
    if form == "jsonl":
        return [json.loads(line) for line in done.stdout.splitlines()]
    if form == "markdown":
        return done.stdout.strip().splitlines()[2:]
    return list(csv.DictReader(io.StringIO(done.stdout), delimiter="\t" if form == "tsv" else ","))
