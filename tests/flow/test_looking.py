"""Looking back on a watch: history, report, scorecard, SQL, and the page in a real browser."""

import json
import os
import re
import shutil
import subprocess
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

import matplotlib.image
import numpy as np
import polars as pl
import pytest

from fairline.sim import Exchange
from fairline.store.datasets import DATASETS
from fairline.store.store import Store
from tests.flow.test_cli import fairline, one_line
from tests.flow.watching import Watched

__all__ = ["fairline"]


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """A store after two days of the world in ten seconds."""
    folder = tmp_path_factory.mktemp("watched")
    with (
        Exchange(markets=1_500, seed=5, moves=1, speed=20_000) as exchange,
        Watched(folder, exchange, scans=12) as watch,
    ):
        assert watch.process.wait(timeout=90) == 0, watch.output()
    return watch.store


def ask(fairline, watched, *arguments):
    done = fairline(*arguments, "--store", watched)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_history_is_a_plot_in_the_terminal_and_figures_in_json_and_csv(fairline, watched, tmp_path):
    ticker = Store(watched).read("edges").filter(change="changed")["ticker"][0]
    text = ask(fairline, watched, "history", ticker.lower())
    assert "a ask" in text
    assert "p by above" in text
    assert "appeared" in text
    got = json.loads(ask(fairline, watched, "history", ticker, "--json"))
    assert len(got["quotes"]) > 1
    assert got["quotes"][0]["ticker"] == ticker
    assert got["predictions"][0]["model"] == "above"
    ask(fairline, watched, "history", ticker, "--since", "1h", "--output", tmp_path / "h.csv")
    assert pl.read_csv(tmp_path / "h.csv")["ticker"].unique().to_list() == [ticker]


def test_history_is_drawn(fairline, watched, tmp_path):
    ticker = Store(watched).read("edges")["ticker"][0]
    for suffix in ("png", "svg", "html"):
        ask(fairline, watched, "history", ticker, "--output", tmp_path / f"h.{suffix}")
    assert measure_ink(matplotlib.image.imread(tmp_path / "h.png")) > 0.01
    assert "bid to ask" in (tmp_path / "h.svg").read_text()
    page = (tmp_path / "h.html").read_text()
    assert ticker in page
    assert "<script" not in page
    done = fairline("history", ticker, "--store", watched, "--output", tmp_path / "h.gif")
    one_line(done, 2, "does not imply a format")


def test_the_scorecard_says_its_n_everywhere(fairline, watched, tmp_path):
    text = ask(fairline, watched, "scorecard")
    assert "Settled: " in text
    got = json.loads(ask(fairline, watched, "scorecard", "--json", "--plot", tmp_path / "r.svg"))
    assert got["decided"] > 20
    whole = got["flagged"][0]
    assert whole["flagged"] >= whole["decided"] > 0
    assert whole["realised"]["n"] == whole["promised"]["n"] == whole["decided"]
    assert (
        got["models"][0]["brier"]["n"]
        == got["models"][0]["market_brier"]["n"]
        == sum(r["n"] for r in got["reliability"])
    )
    assert "predicted probability" in (tmp_path / "r.svg").read_text().lower()


def test_what_prices_meant_is_fitted_on_what_was_watched(fairline, watched, tmp_path):
    text = ask(fairline, watched, "calibrate", "--output", tmp_path / "c.json")
    # A dozen scans within seconds are no history of days: it says so, and claims no curve.
    assert "too few settled markets" in text
    assert json.loads((tmp_path / "c.json").read_text())["curves"] == {}


def test_what_each_model_was_worth_is_fitted_on_what_was_watched(fairline, watched, tmp_path):
    text = ask(fairline, watched, "blend", "--output", tmp_path / "b.json")
    # The model of this watch is a file, not an installed one: it has no voice, and nothing is claimed.
    assert "No model improved on the price" in text
    assert json.loads((tmp_path / "b.json").read_text())["voices"] == []
    again = fairline("blend", "--store", watched, "--json", "--output", tmp_path / "b.json")
    assert "above is not an installed model, so it gets no weight" in again.stderr
    assert json.loads(again.stdout)["events"] == 0


def test_sql_knows_every_dataset_and_column_and_can_do_no_harm(fairline, watched, tmp_path):
    for name, schema in DATASETS.items():
        columns = json.loads(ask(fairline, watched, "sql", f"DESCRIBE {name}", "--format", "json"))
        assert [row["column_name"] for row in columns] == schema.names()
    counted = ask(
        fairline, watched, "sql", "SELECT outcome, count(*) AS n, max(seen_ts) FROM scans GROUP BY 1", "--format", "csv"
    )
    assert "done,12," in counted
    target = tmp_path / "stolen.csv"
    one_line(fairline("sql", "SELECT * FROM read_csv('/etc/hosts')", "--store", watched), 1, "invalid query")
    file = Store(watched).paths("scans")[0]
    for harm in (
        f"COPY scans TO '{target}'",
        f"COPY (SELECT 1 AS a) TO '{file}' (FORMAT parquet, USE_TMP_FILE false)",
        "SET enable_external_access = true",
        "SELECT 1; DROP VIEW scans",
        "CALL enable_logging()",
    ):
        assert fairline("sql", harm, "--store", watched).returncode in (1, 2), harm
    twice = ask(fairline, watched, "sql", "SELECT 1 AS a, 2 AS a, 3 AS a_2", "--format", "csv")
    assert twice.splitlines()[0] == "a,a_2,a_2_2"
    assert '"asof"' not in ask(fairline, watched, "sql", 'SELECT "asof" FROM predictions LIMIT 1', "--format", "csv")
    assert not target.exists()
    one_line(fairline("sql", "SELEC 1", "--store", watched), 1, "Tables: quotes, facts")
    one_line(
        fairline("sql", "SELECT 1", "--store", watched, "--format", "xml"), 2, "invalid --format: expected one of table"
    )


def test_sql_and_history_leave_out_what_is_damaged_and_use_the_rest(fairline, watched, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(watched, copy)
    store = Store(copy)
    whole = store.read("quotes").height
    bad = store.paths("quotes")[-1]
    lost = pl.read_parquet(bad, hive_partitioning=False).height
    bad.write_bytes(bad.read_bytes()[:50])
    counted = ask(fairline, copy, "sql", "SELECT count(*) AS n FROM quotes", "--format", "json")
    assert json.loads(counted) == [{"n": whole - lost}]
    assert bad.exists(), "who only looks renames nothing"
    done = fairline("history", store.read("edges")["ticker"][0], "--store", copy, "--json")
    assert "was left out" in done.stderr


def test_where_there_is_no_store_or_no_such_market_is_one_line(fairline, watched, tmp_path):
    for command in (["history", "A"], ["report"], ["scorecard"], ["sql", "SELECT 1"]):
        one_line(fairline(*command, "--store", tmp_path / "none"), 1, "there is no store at")
    one_line(fairline("history", "KXNOPE", "--store", watched), 1, "the store has no quotes of KXNOPE")
    one_line(fairline("report", "--since", "yesterday", "--store", watched), 2, "invalid --since: expected a duration")


def test_an_empty_store_has_an_honest_report(fairline, tmp_path):
    empty = Store(tmp_path / "empty")
    empty.acquire()
    empty.release()
    ask(fairline, empty.folder, "report", "--output", tmp_path / "r.html")
    assert "No scan was recorded in this time." in (tmp_path / "r.html").read_text()
    assert '"flagged": 0' in ask(fairline, empty.folder, "scorecard", "--json")
    assert json.loads(ask(fairline, empty.folder, "sql", "SELECT count(*) AS n FROM quotes", "--format", "json")) == [
        {"n": 0}
    ]


def test_the_report_is_one_page_with_everything_in_it(fairline, watched, tmp_path):
    ask(fairline, watched, "report", "--since", "1h", "--output", tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    for text in (
        "On offer now",
        "Opportunities that appeared",
        "Opportunities that ended, and why",
        "Results",
        "Funnel",
        "12 scans: 12 done",
    ):
        assert text in page
    assert "<a href" not in page, "a simulator that is known only by its name has no pages"
    assert page.count("<svg") == 4
    assert "<script" not in page
    assert not re.search(r'src="|<link|url\(http', page), "it must not request anything"
    for drawing in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        ET.fromstring(drawing)  # noqa: S314  our own


def test_what_the_exchange_says_cannot_become_markup(tmp_path):
    from fairline.output.html import history_page

    bad = '<script>alert("x")</script>$\\frac'
    quotes = DATASETS["quotes"].to_frame().clear()
    row = dict.fromkeys(DATASETS["edges"]) | {"seen_ts": datetime(2026, 11, 1, tzinfo=UTC), "title": bad, "ticker": bad,
                                              "side": "yes", "model": bad, "change": "appeared"}  # fmt: skip
    edges = pl.DataFrame([row], schema=DATASETS["edges"])
    page = history_page(bad, bad, quotes, DATASETS["predictions"].to_frame(), edges)
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def measure_ink(image):
    """Return the share of pixels that are not the background."""
    flat = image[..., :3].reshape(-1, 3)
    values, counts = np.unique((flat * 255).round().astype(np.uint8), axis=0, return_counts=True)
    assert len(values) > 2
    return 1 - counts.max() / counts.sum()


def browser():
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if executable is None:
        if os.environ.get("CI") == "true":
            pytest.fail("there is no Chromium")
        pytest.skip("needs Chromium, which CI has")
    return executable


def test_in_a_real_browser_its_charts_are_not_empty(fairline, watched, tmp_path):
    ask(fairline, watched, "report", "--since", "1h", "--output", tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    # Each chart by itself, as the browser draws it in the page's own style.
    style = re.search(r"<style>.*?</style>", page, re.DOTALL)[0]
    for number, drawing in enumerate(re.findall(r"<svg.*?</svg>", page, re.DOTALL)):
        alone, shot = tmp_path / f"{number}.html", tmp_path / f"{number}.png"
        alone.write_text(f"<!doctype html><meta charset=utf-8>{style}<body>{drawing}")
        screenshot(alone, shot, tmp_path, height=500)
        image = matplotlib.image.imread(shot)
        assert measure_ink(image) > 0.005, f"chart {number} is empty"
        assert colourful(image) > 100, f"chart {number} has axes but nothing drawn in them"
    screenshot(tmp_path / "r.html", tmp_path / "page.png", tmp_path)
    assert measure_ink(matplotlib.image.imread(tmp_path / "page.png")) > 0.02


def colourful(image):
    """Pixels that are neither grey nor nearly so: lines, dots and bars, not axes and letters."""
    pixels = image[..., :3]
    return int(((pixels.max(axis=2) - pixels.min(axis=2)) > 0.25).sum())


def screenshot(page, target, folder, height=1_600):
    command = [
        browser(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
        f"--user-data-dir={folder / 'profile'}", f"--window-size=1100,{height}", f"--screenshot={target}",
        page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert target.exists(), done.stderr[-2000:]
