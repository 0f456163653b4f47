"""`fairline backtest` from the command line and from Python, over a store on disk."""

import json
import re

import matplotlib.image
import polars as pl
import pytest

import fairline
from fairline.errors import UsageError
from fairline.output.backtest_page import backtest_page
from tests.flow.test_cli import process as run
from tests.flow.test_looking import colourful, measure_ink, screenshot
from tests.unit.backtesting.recorded import record

MODEL = '''
"""A model that believes that every YES is worth eight points more than its midpoint."""
import matplotlib.image
import polars as pl

class Optimist:
    """Believes in YES."""
    name = "optimist"
    version = "1"
    leak = None

    def covers(self, markets):
        return pl.col("p_mid").is_not_null()

    def requests(self, markets, asof):
        return []

    def predict(self, markets, payloads, asof):
        if self.leak:
            open(self.leak).read()
        p = (pl.col("p_mid") + 0.08).clip(0.01, 0.99)
        return markets.select("ticker", p=p, p_sd=pl.lit(None, dtype=pl.Float64), model=pl.lit("optimist"),
                              asof=pl.lit(asof))

class Leaky(Optimist):
    """Reads a file."""
    leak = __file__ + ".txt"
'''


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "optimist.py"
    path.write_text(MODEL)
    (tmp_path / "optimist.py.txt").write_text("today")
    return f"{path}:Optimist"


@pytest.fixture
def store(tmp_path):
    return record(tmp_path / "store").folder


def test_a_backtest_prints_its_accounts_and_writes_a_page(store, model, tmp_path):
    page = tmp_path / "run.html"
    done = run("backtest", model, "--store", store, "--max-spread", "50", "--prove", "--output", page)
    assert done.returncode == 0, done.stderr
    assert "No look-ahead: 48 instants" in done.stdout
    assert "UNPROVEN (take)" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    text = page.read_text()
    assert "<script" not in text
    assert not re.search(r'(?:src|href)="http', text)
    assert len(text) < 1_000_000


def test_the_json_is_that_of_the_library(store, model):
    done = run("backtest", model, "--store", store, "--max-spread", "50", "--json")
    report = fairline.backtest(model, store=store, max_spread=50.0)
    assert json.loads(done.stdout) == json.loads(json.dumps(report.document()))


def test_a_plan_runs_nothing_and_says_what_a_billion_rows_would_take(store, model):
    done = run("backtest", model, "--store", store, "--max-spread", "50", "--plan")
    assert done.stdout.startswith("48 instants, ")
    assert "10⁹ rows would take" in done.stdout
    assert not (store / "backtests").exists()
    document = json.loads(run("backtest", model, "--store", store, "--plan", "--json").stdout)
    assert document["rows"] > 100


def test_runs_are_listed(store, model):
    assert "No backtest" in run("backtest", "runs", "--store", store).stdout
    run("backtest", model, "--store", store, "--max-spread", "50")
    listed = json.loads(run("backtest", "runs", "--store", store, "--json").stdout)
    assert [entry["models"] for entry in listed["runs"]] == [{"optimist": "1"}]
    assert listed["runs"][0]["options"]["every"] == "1h"
    assert "  optimist 1" in run("backtest", "runs", "--store", store).stdout


def test_a_leak_is_named_and_nothing_is_traded(store, model, tmp_path):
    page = tmp_path / "run.html"
    leaky = model.replace(":Optimist", ":Leaky")
    done = run("backtest", leaky, "--store", store, "--prove", "--output", page)
    assert done.returncode == 1
    assert "LEAK: optimist at 2026-11-" in done.stdout
    assert "opened the file" in done.stdout
    assert not page.exists()


def test_a_table_is_known_from_its_times_on(store, tmp_path):
    table = tmp_path / "mine.csv"
    table.write_text("ticker,p,asof\nKXTEST-26NOV22-9,0.99,2026-11-22T20:00:00Z\n")
    report = fairline.backtest(table, store=store, max_spread=50.0, suspect=100.0)
    decided = report.trades["decided_ts"]
    assert decided.len() > 0
    assert str(decided.min()) >= "2026-11-22 20:00"


def test_a_table_without_times_says_why_it_prices_nothing(store, tmp_path):
    table = tmp_path / "mine.csv"
    table.write_text("ticker,p\nKXTEST-26NOV22-9,0.99\n")
    report = fairline.backtest(table, store=store)
    assert report.trades.is_empty()
    assert any("Add a column asof" in problem for problem in report.document()["problems"])


def test_resting_gives_two_answers(store, model):
    report = fairline.backtest(model, store=store, max_spread=50.0, fills="rest")
    assert [account["fills"] for account in report.document()["accounts"]] == [
        "rest, last in the queue", "rest, first in the queue", "rest, last in the queue", "rest, first in the queue",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--every", "0s"], "--every"),
        (["--since", "2026-11-23", "--until", "2026-11-22"], "--until"),
        (["--jobs", "0"], "--jobs"),
        (["--since", "yesterday"], "--since: expected a date or time in UTC such as"),
        (["--since", "2030-01-01"], "--since: the last quote"),
        (["--output", "run.pdf"], "--output"),
    ],
)
def test_bad_options_are_one_line(store, model, arguments, message):
    done = run("backtest", model, "--store", store, *arguments)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert message in done.stderr


def test_a_store_that_is_not_there_is_named(model, tmp_path):
    with pytest.raises(UsageError, match="there is no store at"):
        fairline.backtest(model, store=tmp_path / "nowhere")


def test_the_trades_are_in_dollars_and_contracts(store, model):
    trades = fairline.backtest(model, store=store, max_spread=50.0).trades
    filled = trades.filter(pl.col("contracts") > 0)
    assert filled["contracts"].max() == 100
    assert filled["price"].is_between(0, 1).all()
    assert {"promised", "profit", "fills"} <= set(trades.columns)


def test_the_page_shows_its_chart_in_a_real_browser(store, model, tmp_path):
    page, picture = tmp_path / "run.html", tmp_path / "run.png"
    report = fairline.backtest(model, store=store, max_spread=50.0)
    page.write_text(report.html())
    screenshot(page, picture, tmp_path)
    image = matplotlib.image.imread(picture)
    assert measure_ink(image) > 0.02
    assert colourful(image) > 500


def test_text_from_a_store_is_escaped_on_the_page(store, model):
    report = fairline.backtest(model, store=store, max_spread=50.0)
    trades = report.trades.with_columns(ticker=pl.lit("<script>alert(1)</script>"))
    page = backtest_page(report.document(), trades)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
