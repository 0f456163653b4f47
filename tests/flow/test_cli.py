"""The command as people run it: a process, its output, its exit code."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from cryptography.hazmat.primitives import serialization

from fairline.cli import main
from fairline.kalshi import Retry
from fairline.sim import Exchange, Fault, Key


def process(*arguments, environ=None):
    """Run the command in its own process."""
    command = [sys.executable, "-m", "fairline", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ | (environ or {}))


@pytest.fixture
def fairline(capfdbinary, monkeypatch):
    """The command in this process, which saves starting an interpreter: output and exit code as a shell sees them."""

    def call(*arguments, environ=None):
        monkeypatch.setattr(sys, "argv", ["fairline", *map(str, arguments)])
        with monkeypatch.context() as patch:
            for name, value in (environ or {}).items():
                patch.setenv(name, value)
            code = 0
            try:
                main()
            except SystemExit as end:
                code = end.code
        sys.stdout.flush()
        captured = capfdbinary.readouterr()
        return subprocess.CompletedProcess(arguments, code, captured.out.decode(), captured.err.decode())

    return call


def one_line(done, code, *fragments):
    assert done.returncode == code, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert done.stderr.startswith("fairline: ")
    for word in fragments:
        assert word in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def forecast(exchange, tmp_path) -> Path:
    """Probabilities well above and below the market for every two-sided market."""
    columns = exchange.world.columns
    p = (columns.ask / 10_000 + 0.08).clip(0, 0.99)
    path = tmp_path / "mine.csv"
    frame = pl.DataFrame({"ticker": columns.ticker, "p": p, "s": columns.status, "a": columns.ask})
    frame.filter((pl.col("s") == 1) & (pl.col("a") > 0)).select("ticker", "p").write_csv(path)
    return path


def test_scan_prints_the_documented_json_and_nothing_else(fairline, exchange, forecast):
    at = ("--exchange", exchange.url, "--probabilities", forecast, "--format", "json", "--sort", "ev-per-dollar")
    done = fairline("scan", *at)
    assert done.returncode == 0
    assert done.stderr == ""
    got = json.loads(done.stdout)
    assert got["scan"]["complete"] is True
    assert got["scan"]["markets"] == 1_500
    assert got["opportunities"]
    best = [row["believed_ev_per_dollar"] for row in got["opportunities"]]
    assert best == sorted(best, reverse=True)
    remaining = got["funnel"][-1]["kept"]
    assert remaining == len({row["ticker"] for row in got["opportunities"]})
    assert remaining + sum(step["dropped"] for step in got["funnel"]) == 1_500


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_scan_writes_files_by_their_name(fairline, exchange, forecast, tmp_path, form):
    output = tmp_path / f"out.{form}"
    done = fairline("scan", "--exchange", exchange.url, "--probabilities", forecast, "--output", output, "--top", 7)
    assert done.returncode == 0, done.stderr
    table = pl.read_csv(output) if form == "csv" else pl.read_parquet(output)
    assert table.height == 7
    assert done.stdout == ""


def test_a_table_pipes_and_a_broken_pipe_is_no_failure(fairline, exchange, forecast):
    done = fairline("scan", "--exchange", exchange.url, "--probabilities", forecast)
    assert "Funnel (markets)" in done.stdout
    assert "\x1b[" not in done.stdout
    script = f"{sys.executable} -m fairline markets --exchange {exchange.url} --format csv | head -2"
    piped = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60)
    assert len(piped.stdout.splitlines()) == 2
    assert piped.stderr == ""


def test_markets_lists_probabilities_without_a_model(fairline, exchange):
    done = fairline("markets", "--exchange", exchange.url, "--format", "json", "--category", "SPORTS")
    got = json.loads(done.stdout)
    assert {market["category"] for market in got["markets"]} == {"Sports"}
    two_sided = [m for m in got["markets"] if m["p_mid"] is not None]
    assert two_sided
    assert all(m["p_bid"] < m["p_mid"] < m["p_ask"] for m in two_sided)


def test_an_incomplete_crawl_ends_with_exit_code_3_and_its_reason(fairline):
    with Exchange(markets=200, seed=1, faults=[Fault("endless-cursor")]) as exchange:
        done = fairline("scan", "--exchange", exchange.url, "--format", "json")
        table = fairline("markets", "--exchange", exchange.url)
    assert done.returncode == table.returncode == 3
    got = json.loads(done.stdout)
    assert got["scan"]["complete"] is False
    assert "pages in a row with nothing new" in got["scan"]["incomplete_reason"]
    assert got["scan"]["markets"] == 200, "what came is kept, but nobody can say that it is all"
    assert "incomplete" in done.stderr
    assert "INCOMPLETE" in table.stdout


def test_balance_is_the_signed_proof(fairline, exchange, rsa_pem, tmp_path):
    public = serialization.load_pem_private_key(rsa_pem.encode(), None).public_key()
    exchange.register(Key("cli-key", public, member_id="m-1"))
    key_file = tmp_path / "key.pem"
    key_file.write_text(rsa_pem)
    key_file.chmod(0o600)
    by_flag = fairline("balance", "--exchange", exchange.url, "--key-id", "cli-key", "--key-file", key_file, "--json")
    assert json.loads(by_flag.stdout) == {"balance": 10_000.0, "portfolio_value": 0.0}
    environ = {"KALSHI_API_KEY_ID": "cli-key", "KALSHI_PRIVATE_KEY": rsa_pem.replace("\n", "\\n")}
    assert "$10,000.00" in fairline("balance", "--exchange", exchange.url, environ=environ).stdout
    article = fairline(
        "balance", "--exchange", exchange.article_url, "--auth", "jwt", "--member-id", "m-1", "--key-id", "cli-key",
        "--key-file", key_file,
    )  # fmt: skip
    assert "$10,000.00" in article.stdout, article.stderr
    listed = fairline("markets", "--exchange", exchange.url, "--format", "csv", "--top", 3, environ=environ)
    assert len(listed.stdout.splitlines()) == 4, "a signed listing works too, paced by the account's own limits"


def test_bad_input_is_one_line_with_cause_and_remedy(fairline, exchange, tmp_path, rsa_pem):
    at = ("--exchange", exchange.url)
    (tmp_path / "public.pem").write_text("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
    (tmp_path / "key.pem").write_text(rsa_pem)
    (tmp_path / "key.pem").chmod(0o600)
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    keyed = (*at, "--key-id", "nobody", "--key-file")
    one_line(fairline("balance", *at), 2, "needs a key", "--key-id")
    one_line(fairline("balance", *keyed, tmp_path / "gone.pem"), 1, "does not exist", "key_file")
    one_line(fairline("balance", *keyed, tmp_path / "public.pem"), 1, "public key")
    one_line(fairline("balance", *keyed, tmp_path / "key.pem"), 1, "NOT_FOUND", "key id is unknown")
    one_line(fairline("scan", *at, "--min-edge", "200"), 2, "invalid --min-edge: expected points")
    one_line(fairline("scan", *at, "--category", "sprots"), 2, "no category 'sprots'", "Sports")
    one_line(fairline("scan", *at, "--closes-within", "soon"), 2, "invalid --closes-within: expected a duration")
    one_line(fairline("scan", *at, "--status", "active"), 2, "invalid --status: expected one of", "paused")
    one_line(fairline("scan", *at, "--probabilities", "gone.csv"), 2, "gone.csv does not exist")
    one_line(fairline("scan", *at, "--model", "oracle"), 2, "unknown model 'oracle'")
    one_line(fairline("scan", *at, "--format", "xml"), 2, "invalid --format: expected one of table, json")
    one_line(fairline("markets", *at, "--output", tmp_path / "no" / "x.csv"), 1, "invalid --output: cannot write")
    one_line(fairline("scan", "--exchange", "kalshi"), 2, "invalid --exchange: expected production, demo")
    one_line(fairline("scan", "--nonsense"), 2, "--nonsense")
    one_line(fairline("scan", "--size", "many"), 2, "--size")
    one_line(fairline("scan", *at, "--closes-within", "99999999999w"), 2, "invalid --closes-within")
    one_line(fairline("scan", *at, "--output", tmp_path / "x.txt"), 2, "does not imply a format")
    one_line(fairline("markets", *at, "--event", "NOPE"), 2, "no event NOPE")
    one_line(fairline("markets", "--exchange", exchange.root), 1, "ends in /trade-api/v2")
    one_line(fairline("sim", "--fault", "gremlins"), 1, "unknown fault 'gremlins'", "429")
    one_line(fairline("sim", "--replay", "gone"), 1, "gone does not exist")
    one_line(fairline("sim", "--public-key", "x"), 2, "KEY_ID=FILE")


def test_a_malformed_probabilities_file_is_a_problem_and_nothing_is_priced(fairline, exchange, tmp_path):
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    done = fairline("scan", "--exchange", exchange.url, "--probabilities", tmp_path / "bad.csv", "--format", "json")
    assert done.returncode == 1
    assert "has no column ticker and p" in done.stderr


def test_lines_about_filtered_markets_are_counted_not_listed(fairline, exchange, forecast):
    done = fairline(
        "scan", "--exchange", exchange.url, "--probabilities", forecast, "--category", "crypto", "--format", "json"
    )
    (problem,) = json.loads(done.stdout)["problems"]
    assert problem["stage"] == "filters"
    assert "lines are about markets that the filters left out" in problem["message"]


def test_csv_says_on_standard_error_what_it_has_no_place_for(fairline, exchange, tmp_path):
    (tmp_path / "some.csv").write_text("ticker,p\nKXNOPE,0.5\n" + "".join(f"A{i},2\n" for i in range(20)))
    exchange.faults.set(Fault("malformed-row", 1.0, 1))
    done = fairline("scan", "--exchange", exchange.url, "--probabilities", tmp_path / "some.csv", "--format", "csv")
    assert done.returncode == 0
    assert "line 2: KXNOPE: not among" in done.stderr
    assert "more; --format json has them all" in done.stderr
    exchange.faults.set(Fault("malformed-row", 1.0, 1))
    assert "quarantined" in fairline("markets", "--exchange", exchange.url, "--format", "csv").stderr


def test_processes_end_with_honest_codes(exchange):
    with Exchange(markets=200, seed=1, faults=[Fault("endless-cursor")]) as looping:
        assert process("markets", "--exchange", looping.url, "--format", "csv").returncode == 3
    script = f"{sys.executable} -m fairline markets --exchange {exchange.url} --format csv > /dev/full"
    full = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60)
    assert full.returncode == 1
    assert full.stderr == "fairline: cannot write the output (No space left on device)\n"


def test_ctrl_c_says_stopped_and_ends_with_130():
    with Exchange(markets=100, faults=[Fault("stall")]) as stalled:
        command = [sys.executable, "-m", "fairline", "markets", "--exchange", stalled.url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
            deadline = time.monotonic() + 30
            while stalled.backend.requests == 0 and time.monotonic() < deadline:
                time.sleep(0.05)
            running.send_signal(signal.SIGINT)
            assert running.wait(timeout=10) == 130
            assert running.stderr.read() == "fairline: stopped\n"


def test_an_unreachable_host_is_named(fairline, monkeypatch):
    monkeypatch.setattr(Retry, "delay", lambda *_: 0.0)
    done = fairline("markets", "--exchange", "http://127.0.0.1:9/trade-api/v2")
    one_line(done, 1, "cannot connect to 127.0.0.1:9")


def test_the_simulator_serves_a_recording_until_it_is_told_to_stop(fairline, shared):
    replay = shared / "kalshi_markets_raw_2026-07-10"
    command = [sys.executable, "-m", "fairline", "sim", "--replay", str(replay), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        first = server.stdout.readline()
        url = first.split(" at ")[1].strip()
        printed = [server.stdout.readline() for _ in range(6)]
        done = fairline("scan", "--exchange", url, "--format", "json")
        key = next(line.split("=", 1)[1].strip() for line in printed if "PRIVATE_KEY_PATH" in line)
        signed = fairline("balance", "--exchange", url, "--key-id", "sim-key", "--key-file", key)
        server.send_signal(signal.SIGTERM)
        started = time.monotonic()
        assert server.wait(timeout=10) == 0
        assert time.monotonic() - started < 5
        assert "Stopped" in server.stderr.read()
    got = json.loads(done.stdout)
    assert list(got) == ["scan", "funnel", "opportunities", "unproven", "nearest_misses", "problems"]
    assert got["scan"]["markets"] > 1_000
    assert "Balance" in signed.stdout
    assert "Rate limits: none; choose some with --tier\n" in printed
    assert "The article's member id is member-1\n" in printed
    assert not Path(key).exists(), "the throw-away key goes with the simulator"


def test_the_demo_promises_settles_and_writes_its_file(fairline, tmp_path):
    output = tmp_path / "found.csv"
    done = process("demo", "--markets", 3_000, "--output", output)
    assert done.returncode == 0, done.stderr
    for text in ("3,000 markets from", "Believed:", "Unproven:", "Funnel (markets)", "promised", "claimed", "realised",
                  "95 % interval", "settled events of the past"):  # fmt: skip
        assert text in done.stdout
    assert pl.read_csv(output).height > 0


def test_no_command_at_all_shows_the_help_as_help(fairline):
    for arguments in ((), ("key",)):
        shown = fairline(*arguments)
        assert shown.stdout.startswith("Usage: fairline")
        assert "fairline: Usage" not in shown.stderr


def test_models_and_version_and_help_answer(fairline, tmp_path):
    models = json.loads(fairline("models", "--json").stdout)
    assert [row["name"] for row in models] == [
        "blend",
        "calibrated",
        "coherent",
        "consensus",
        "diffusion",
        "elo",
        "polls",
        "weather",
    ]
    assert {row["problem"] for row in models} == {None}
    assert fairline("--version").stdout.strip()
    for command in ("scan", "markets", "balance", "models", "sim", "demo"):
        shown = fairline(command, "--help")
        assert shown.returncode == 0
        assert "Example: fairline" in shown.stdout


def test_fees_offline_and_of_a_market_with_the_derivation(fairline, exchange):
    offline = ("fees", "--type", "quadratic", "--multiplier", "1", "--size", "100", "--price", "0.10")
    got = json.loads(fairline(*offline, "--json").stdout)
    assert (got["fee"], got["trade_fee"], got["role"]) == (0.63, 0.63, "taker")
    assert "= $0.63" in fairline(*offline).stdout
    event = next(e for e in exchange.backend.catalog.events if e.fields.get("fee_multiplier_override"))
    ticker = exchange.backend.catalog.tickers[event.rows[0]]
    at = ("--exchange", exchange.url, "--size", "250", "--price", "0.37", "--json")
    got = json.loads(fairline("fees", ticker, *at).stdout)
    assert got["terms_from"].startswith("event override since")
    # 0.5 · 0.07 · 250 · 0.37 · 0.63 = 2.039625, up to the cent.
    assert (got["fee_type"], got["multiplier"], got["fee"]) == ("quadratic", 0.5, 2.04)
    assert json.loads(fairline("fees", ticker, *at, "--maker").stdout)["fee"] == 0
    one_line(fairline("fees"), 2, "a ticker or a fee type is needed")
    assert json.loads(fairline("fees", ticker.lower(), *at).stdout) == got
    one_line(fairline("fees", "KXNOPE", *at), 1, "answered 404")
    one_line(fairline("fees", ticker, *at, "--multiplier", "9"), 2, "brings its own terms")
    one_line(fairline(*offline, "--at", "garbage"), 2, "invalid --at: expected a time")
    one_line(fairline("fees", "--type", "flat", "--price", "0.5"), 2, "invalid --type: expected one of quadratic")
    one_line(fairline(*offline[:-1], "1.2"), 2, "invalid --price: expected dollars")
    one_line(fairline(*offline, "--size", "0"), 2, "invalid --size: expected contracts")
    one_line(fairline(*offline, "--size", "1.234"), 2, "at most 2 decimals")
    one_line(fairline(*offline, "--multiplier", "-1"), 2, "invalid --multiplier: expected a number")
    one_line(fairline(*offline, "--policy", "mine"), 2, "invalid --policy: expected one of cautious", "cautious")


def test_explain_walks_one_market_through_every_step_with_its_numbers(fairline, exchange, forecast, tmp_path):
    at = ("--exchange", exchange.url, "--probabilities", forecast)
    scanned = json.loads(fairline("scan", *at, "--format", "json").stdout)
    best = scanned["opportunities"][0]
    got = json.loads(fairline("explain", best["ticker"], *at, "--json").stdout)
    side = next(s for s in got["sides"] if s["side"] == best["side"])
    assert side["bin"] == "kept"
    assert {step["result"] for step in side["steps"]} == {"pass"}
    assert f"{best['edge_points']:.2f} points" in [step["detail"] for step in side["steps"]]
    missed = scanned["nearest_misses"][0]
    shown = fairline("explain", missed["ticker"], *at).stdout
    assert "no opportunity" in shown
    assert "stop " in shown
    columns = exchange.world.columns
    empty = columns.ticker[int(((columns.bid == 0) & (columns.ask == 0)).nonzero()[0][0])]
    walked = json.loads(fairline("explain", empty, *at, "--json").stdout)["sides"][0]
    assert walked["bin"] in ("offered", "open")
    assert [step["result"] for step in walked["steps"]].count("stop") == 1
    one_line(fairline("explain", "KXNOPE", *at), 1, "answered 404", "Check the ticker")


def test_coherence_lists_what_breaks_a_rule_and_says_what_is_locked(fairline):
    with Exchange(markets=3_000, seed=2) as exchange:
        columns = exchange.world.columns
        event = next(e for e in exchange.world.events if e.exclusive and len(e.rows) == 2)
        for row in event.rows:
            columns.bid[row], columns.ask[row] = 7_000, 7_200
            columns.bid_size[row] = columns.ask_size[row] = 50_000
            columns.revision[row] += 1
        arguments = ("coherence", "--exchange", exchange.url, "--series", event.ticker.split("-")[0])
        done = fairline(*arguments, "--json", "--no-books")
        walked = fairline(*arguments, "--json")
        table = fairline(*arguments, "--all")
    assert done.returncode == walked.returncode == table.returncode == 0
    best = json.loads(done.stdout)["violations"][0]
    assert (best["event_ticker"], best["certainty"], best["size"]) == (event.ticker, "locked", 500.0)
    assert best["payoff"] - best["cost"] == pytest.approx(500 * 0.4)
    assert best["profit"] == pytest.approx(500 * 0.4 - best["fee"])
    deeper = next(v for v in json.loads(walked.stdout)["violations"] if v["event_ticker"] == event.ticker)
    assert deeper["size"] >= best["size"]
    assert deeper["profit"] >= best["profit"]
    assert "after fees" in table.stdout
    assert event.ticker[:12] in table.stdout


def test_a_bankroll_says_how_many_to_buy_and_books_what_a_larger_order_gets(fairline, exchange, forecast):
    arguments = ("scan", "--exchange", exchange.url, "--probabilities", forecast, "--format", "json")
    done = fairline(*arguments, "--bankroll", "1000", "--kelly", "0.5")
    got = json.loads(done.stdout)
    rows = got["opportunities"]
    assert got["scan"]["books"]["read"] == len({row["ticker"] for row in rows}) > 0
    assert all(0 < row["fill_size"] <= 100 and row["fill_worst_price"] >= row["price"] for row in rows)
    assert all(row["best_size"] > 0 and row["best_ev"] > 0 for row in rows)
    assert 0 < sum(row["risk"] for row in rows) <= 1_000
    assert all(row["contracts"] == int(row["contracts"]) for row in rows)
    assert (
        "Risk $" in fairline("scan", "--exchange", exchange.url, "--probabilities", forecast, "--bankroll", "50").stdout
    )
    bare = json.loads(fairline(*arguments, "--no-books").stdout)["opportunities"][0]
    assert "best_size" not in bare
    assert "risk" not in bare
    assert fairline(*arguments, "--bankroll", "5", "--caps", "1,2").returncode == 2


def test_explain_walks_a_recorded_market_by_coherence_alone(fairline, shared):
    folder = shared / "kalshi_markets_raw_2026-07-10"
    recorded = [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]
    market = next(m for m in recorded if 0.2 < float(m["yes_bid_dollars"]) < float(m["yes_ask_dollars"]) < 0.8)
    with Exchange(replay=folder) as exchange:
        at = (market["ticker"], "--exchange", exchange.url, "--model", "coherent")
        got = json.loads(fairline("explain", *at, "--json").stdout)
        resting = fairline("explain", *at, "--rest").stdout
    assert [side["side"] for side in got["sides"]] == ["yes", "no"]
    steps = {step["step"]: step for step in got["sides"][0]["steps"]}
    quotes = f"YES bid ${market['yes_bid_dollars']}, ask ${market['yes_ask_dollars']}"
    assert steps["has a bid and an ask"]["detail"] == quotes
    assert steps["open for trading"]["result"] == "stop", "it closed long ago"
    assert f"${market['yes_bid_dollars']}, behind " in resting


def test_a_scan_that_rests_says_what_stands_ahead_and_what_would_be_first(fairline, exchange, forecast):
    at = ("--exchange", exchange.url, "--probabilities", forecast, "--max-spread", "50")
    scan = json.loads(fairline("scan", *at, "--rest", "--format", "json").stdout)
    opportunities = scan["opportunities"]
    assert len(opportunities) > 5
    columns = exchange.world.columns
    for row in opportunities:
        at_row = exchange.world.row[row["ticker"]]
        yes = row["side"] == "yes"
        bid = columns.bid[at_row] if yes else 10_000 - columns.ask[at_row]
        size = columns.bid_size[at_row] if yes else columns.ask_size[at_row]
        assert row["price"] == pytest.approx(bid / 10_000)
        assert row["ahead"] == pytest.approx(size / 100)
        assert row["better_price"] is None or row["better_price"] > row["price"]
        assert row["size"] == 100
        assert "fill_size" not in row
    assert any(row["better_price"] is not None for row in opportunities)
    assert "on offer" not in json.dumps(scan["funnel"])
    assert sum(step["share"] for step in scan["funnel"]) < 1
    assert "the EV holds only if the order is filled" in fairline("scan", *at, "--rest").stdout
