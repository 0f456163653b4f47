"""The command `fairline portfolio` on an account that trades on the simulated exchange."""

import io
import json
from datetime import timedelta

import polars as pl
import pytest

from fairline import portfolio
from fairline.sim import Key
from fairline.store.datasets import EDGES, FACTS, QUOTES
from fairline.store.store import Store
from tests.flow.test_cli import fairline
from tests.flow.test_portfolio import public, signed, trading

__all__ = ["fairline", "public", "signed", "trading"]


def run(call, signed, *arguments):
    return call("portfolio", "--exchange", signed["exchange"], "--key-id", signed["key_id"],
                            "--key-file", signed["key_file"], *arguments)  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        ((), ("Cash $", "The balance adds up", "Unrealised")),
        (("--settled",), ("Ticker", "Profit $", "Result")),
        (("--fills", "--top", "3"), ("Price $", "Fee $")),
        (("--clv",), ("CLV mid", "Mean value against the middle of the closing line")),
        (("--by", "series"), ("Series", "Realised $", "Exposure $")),
        (("--subaccount", "1"), ("Cash $",)),
    ],
)
def test_every_view_of_the_command_prints(fairline, signed, arguments, texts):
    done = run(fairline, signed, *arguments)
    assert done.returncode == 0, done.stderr
    for text in texts:
        assert text in done.stdout


def test_formats_keep_and_mistakes_of_the_command(fairline, signed, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    document = json.loads(run(fairline, signed, "--format", "json").stdout)
    assert document["cash"]["holds"] is True
    rows = pl.read_csv(io.StringIO(run(fairline, signed, "--settled", "--format", "csv").stdout))
    assert rows["profit"].len() > 3
    assert not list((tmp_path / "data").rglob("*.json")), "nothing is kept unless asked for"
    assert run(fairline, signed, "--keep").returncode == 0
    (mirror,) = (tmp_path / "data").rglob("account/*.json")
    assert mirror.stat().st_mode & 0o777 == 0o600
    again = run(fairline, signed, "--keep")
    assert "The balance adds up" in again.stdout
    both = run(fairline, signed, "--fills", "--settled")
    assert (both.returncode, "choose one of" in both.stderr) == (2, True)
    unsigned = fairline("portfolio", "--exchange", signed["exchange"])
    assert (unsigned.returncode, "API key" in unsigned.stderr) == (2, True)
    wrong = run(fairline, signed, "--subaccount", "99")
    assert (wrong.returncode, "--subaccount" in wrong.stderr) == (2, True)


def test_a_key_without_the_scope_shows_the_rest_and_exits_with_3(fairline, signed, trading, public):
    trading.register(Key("trader", public, trader_seed=3, scopes=("read::portfolio_balance",)))
    done = run(fairline, signed)
    trading.register(Key("trader", public, trader_seed=3))
    assert done.returncode == 3
    assert "Cash $" in done.stdout
    assert "positions: not permitted for this API key" in done.stderr


def test_fees_fit_names_the_rounding_and_later_scans_use_it(fairline, signed, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    at = ("--exchange", signed["exchange"], "--key-id", signed["key_id"], "--key-file", signed["key_file"])
    before = fairline("scan", *at, "--no-books")
    assert "your own fills prove" not in before.stderr
    shown = fairline("fees", "--fit", *at)
    assert shown.returncode == 0, shown.stderr
    assert "prove order-centicent" in shown.stdout
    assert "Scans with this key use it" in shown.stdout
    document = json.loads(fairline("fees", "--fit", *at, "--json").stdout)
    assert (document["proven"], document["unread_series"]) == ("order-centicent", [])
    assert document["policies"][0]["exact"] == document["fills"]
    after = fairline("scan", *at, "--no-books")
    assert "fees rounded as your own fills prove: order-centicent" in after.stderr
    anonymous = fairline("scan", "--exchange", signed["exchange"], "--no-books")
    assert "your own fills prove" not in anonymous.stderr


def test_a_scan_with_holdings_marks_them_and_sizes_bets_from_the_equity(fairline, signed, trading, tmp_path):
    at = ("--exchange", signed["exchange"], "--key-id", signed["key_id"], "--key-file", signed["key_file"])
    report = json.loads(run(fairline, signed, "--format", "json").stdout)
    held = {row["ticker"]: row for row in report["positions"] if row["contracts"]}
    columns = trading.world.columns
    table = pl.DataFrame({"ticker": columns.ticker, "p": (columns.ask / 10_000 + 0.08).clip(0, 0.99)})
    quoted = (columns.status == 1) & (columns.ask > 0)
    path = tmp_path / "mine.csv"
    table.filter(pl.Series(quoted)).write_csv(path)
    done = fairline("scan", *at, "--probabilities", path, "--holdings", "--format", "json", "--min-contracts", "0",
                    "--max-spread", "200")  # fmt: skip
    assert "bankroll $" in done.stderr
    assert "fills prove order-centicent" in done.stderr
    rows = json.loads(done.stdout)["opportunities"]
    marks = {(row["ticker"], row["side"]): row["held"] for row in rows}
    assert any("contracts" in row for row in rows)
    seen = [key for key in marks if key[0] in held]
    assert seen
    for ticker, side in seen:
        sign = 1 if held[ticker]["side"] == side else -1
        assert marks[ticker, side] == sign * held[ticker]["contracts"]
    assert all(value == 0 for (ticker, _), value in marks.items() if ticker not in held)
    unsigned = fairline("scan", "--exchange", signed["exchange"], "--holdings")
    assert (unsigned.returncode, "--holdings" in unsigned.stderr) == (2, True)


@pytest.fixture
def claimed(trading, signed, tmp_path):
    """Return a store that claimed an edge in one market before its first fill there, at one cent less."""
    fills = portfolio(**signed).account.fills.sort("filled_ts")
    first = fills.row(0, named=True)
    edge = dict.fromkeys(EDGES) | {
        "change": "appeared", "ticker": first["ticker"], "side": first["side"], "model": "elo",
        "price_u": first["price_u"] - 10_000, "ev_u": 30_000,
    }  # fmt: skip
    store = Store(tmp_path / "store", exchange=trading.root.removeprefix("http://"))
    store.acquire()
    store.append("edges", pl.DataFrame([edge], schema=EDGES), first["filled_ts"] - timedelta(hours=1))
    store.release()
    return store, first


def test_profit_by_model_and_the_scorecard_show_which_claims_were_taken(fairline, signed, claimed):
    store, first = claimed
    at = ("--store", store.folder, "--exchange", signed["exchange"])
    by_model = run(fairline, signed, "--by", "model", "--store", store.folder)
    assert by_model.returncode == 0, by_model.stderr
    assert "elo" in by_model.stdout
    assert "taken" not in json.loads(fairline("scorecard", *at, "--json").stdout)
    assert run(fairline, signed, "--keep", "--store", store.folder).returncode == 0
    shown = fairline("scorecard", *at)
    assert "Taken: 1 of 1 claimed edges" in shown.stdout
    assert "+1.00 ¢ per contract more than promised, which leaves +2.00 ¢" in shown.stdout
    taken = json.loads(fairline("scorecard", *at, "--json").stdout)["taken"]
    assert (taken["claims"], taken["taken"], taken["slippage"]) == (1, 1, pytest.approx(0.01))
    claims = portfolio(**signed, store=store.folder).claims.drop_nulls("model")
    assert claims["ticker"].unique().to_list() == [first["ticker"]]


def test_a_closing_line_comes_from_the_store_where_it_has_quotes(trading, signed, tmp_path):
    fills = portfolio(**signed).account.fills.sort("filled_ts")
    first = fills.row(0, named=True)
    ticker, start = first["ticker"], first["filled_ts"] + timedelta(hours=2)
    fact = dict.fromkeys(FACTS) | {"ticker": ticker, "milestone_ts": start}
    quote = dict.fromkeys(QUOTES) | {"ticker": ticker, "listed": True, "yes_bid_u": 500_000, "yes_ask_u": 540_000}
    store = Store(tmp_path / "store", exchange=trading.root.removeprefix("http://"))
    store.acquire()
    store.append("facts", pl.DataFrame([fact], schema=FACTS), start - timedelta(minutes=50))
    store.append("quotes", pl.DataFrame([quote], schema=QUOTES), start - timedelta(minutes=40))
    later = quote | {"yes_bid_u": 900_000, "yes_ask_u": 910_000}
    store.append("quotes", pl.DataFrame([later], schema=QUOTES), start + timedelta(minutes=5))
    store.release()
    clv = portfolio(**signed, clv=True, store=store.folder).clv
    row = clv.filter(pl.col("fill_id") == first["fill_id"]).row(0, named=True)
    assert (row["line_bid"], row["line_ask"], row["starts_at"]) == (0.50, 0.54, start)
    middle = 0.52 if first["side"] == "yes" else 0.48
    assert row["clv_mid_cents"] == pytest.approx(100 * middle - first["price_u"] / 10_000)
