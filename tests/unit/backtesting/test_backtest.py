"""A whole run: the same bytes in one process or two, resumed after a stop, with beliefs earned walk-forward."""

import os
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from fairline.backtesting.backtest import BacktestOptions, cut_folds, describe_run, find_period, refit, run_backtest
from fairline.backtesting.decide import OPINIONS, Grid, Terms
from fairline.backtesting.result import result_document
from fairline.backtesting.run import BLOCK_INSTANTS, check_workers, local_executor
from fairline.backtesting.simulate import TradingRules
from fairline.backtesting.trials import list_runs, run_folder
from fairline.errors import StoreError, UsageError
from fairline.market.fees import CAUTIOUS
from fairline.market.filters import Filters
from fairline.pricing.belief import Beliefs
from fairline.pricing.rules import Rules
from fairline.pricing.sizing import Bankroll
from fairline.store.datasets import SETTLEMENTS
from fairline.store.store import Store
from tests.unit.backtesting.recorded import BEGIN, DOLLAR, HOUR, record, rows

MINUTE = timedelta(minutes=1)


class Optimist:
    """Believes that every YES is worth eight points more than its midpoint."""

    name = "optimist"
    version = "1"

    def covers(self, markets):
        return pl.col("p_mid").is_not_null()

    def requests(self, markets, asof):
        return []

    def predict(self, markets, payloads, asof):
        p = (pl.col("p_mid") + 0.08).clip(0.01, 0.99)
        return markets.select(
            "ticker", p=p, p_sd=pl.lit(None, dtype=pl.Float64), model=pl.lit(self.name), asof=pl.lit(asof)
        )


@dataclass(frozen=True)
class Source:
    """The model above, with no inputs. It can be pickled, so that other processes can load it."""

    def load(self):
        return [Optimist()]

    def inputs(self, store):
        return self

    def known_at(self, requests, at):
        return {}


OPTIONS = BacktestOptions(
    grid=Grid(BEGIN, BEGIN + 47 * HOUR, HOUR),
    terms=Terms(Filters(), Rules(max_spread_percent=50.0), CAUTIOUS),
    trading=TradingRules(
        enter="first", fills="take", every=HOUR, lag=MINUTE, max_gap=3 * HOUR, rest_for=4 * HOUR,
        size_cc=10_000, bankroll=None, fees=CAUTIOUS,
    ),
)  # fmt: skip


@pytest.fixture
def store(tmp_path):
    return record(tmp_path / "store")


def trades_of(result):
    return result.trades.filter(pl.col("count_cc") > 0)


def test_each_market_is_bought_once_an_hour_after_the_decision_and_paid(store):
    result = run_backtest(store, Source(), OPTIONS)
    bought = trades_of(result)
    assert bought["ticker"].n_unique() == bought.height > 8
    assert ((bought["filled_ts"] - bought["decided_ts"]) == HOUR).all()
    assert bought["payout_u"].null_count() < bought.height / 2
    assert set(bought["side"]) == {"yes"}


def test_a_bankroll_stakes_what_is_believed_by_kelly_and_nothing_that_is_unproven(store):
    bankroll = Bankroll(1_000 * DOLLAR)
    terms = replace(OPTIONS.terms, bankroll=bankroll)
    trading = replace(OPTIONS.trading, bankroll=bankroll)
    trusted = replace(OPTIONS, terms=terms, trading=trading)
    bought = trades_of(run_backtest(store, Source(), trusted))
    assert set(bought["book"]) == {"believed"}
    assert (bought["count_cc"] * (bought["price_u"] + bought["fee_u"])).max() / 100 <= 0.05 * 1_010 * DOLLAR
    doubted = replace(trusted, terms=replace(terms, beliefs=Beliefs(trust=0.0)))
    bought = trades_of(run_backtest(store, Source(), doubted))
    assert set(bought["book"]) == {"unproven"}
    assert set(bought["count_cc"]) == {10_000}


def test_two_processes_give_the_same_bytes_as_one(tmp_path):
    first, second = record(tmp_path / "one"), record(tmp_path / "two")
    options = replace(OPTIONS, refit=12 * HOUR)
    one = run_backtest(first, Source(), options)
    two = run_backtest(second, Source(), options, start=lambda: local_executor(2))
    assert one.run.id == two.run.id
    for name in ("trades.parquet",):
        paths = [run_folder(store, one.run.id) / name for store in (first, second)]
        assert paths[0].read_bytes() == paths[1].read_bytes()
    blocks = [sorted((run_folder(store, one.run.id) / "blocks").iterdir()) for store in (first, second)]
    assert [path.name for path in blocks[0]] == [path.name for path in blocks[1]]
    assert [path.read_bytes() for path in blocks[0]] == [path.read_bytes() for path in blocks[1]]


def test_a_stopped_run_continues_with_the_missing_blocks(store):
    options = replace(OPTIONS, refit=6 * HOUR)
    seen = []

    def stop_after_three(done, total):
        seen.append((done, total))
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_backtest(store, Source(), options, progress=stop_after_three)
    resumed = []
    whole = run_backtest(store, Source(), options, progress=lambda done, total: resumed.append(done))
    assert seen[-1] == (3, 8)
    assert resumed[-1] == 8
    again = run_backtest(store, Source(), options)
    assert again.trades.equals(whole.trades)
    assert [run.id for run in list_runs(store)] == [whole.run.id]


def test_every_run_is_kept_and_the_best_is_corrected_for_their_number(store):
    for points in (2.0, 3.0, 4.0):
        rules = Rules(max_spread_percent=50.0, min_edge_points=points)
        result = run_backtest(store, Source(), replace(OPTIONS, terms=replace(OPTIONS.terms, rules=rules)))
    assert result.runs == 3
    assert result.best_of_runs.candidates == 3
    assert result.best_of_runs.p_corrected >= result.best_of_runs.p_alone
    document = result_document(result)
    assert document["runs"]["count"] == 3
    assert document["accounts"][0]["quality"]


class DiesOnce(Optimist):
    """Takes its process with it the first time it is asked to predict."""

    marker: Path

    def __init__(self, marker):
        self.marker = marker

    def predict(self, markets, payloads, asof):
        if not self.marker.exists():
            self.marker.touch()
            os._exit(9)
        return super().predict(markets, payloads, asof)


@dataclass(frozen=True)
class DyingSource(Source):
    marker: Path

    def load(self):
        return [DiesOnce(self.marker)]


def test_a_worker_that_dies_costs_only_its_blocks(tmp_path):
    first, second = record(tmp_path / "one"), record(tmp_path / "two")
    options = replace(OPTIONS, refit=8 * HOUR)
    whole = run_backtest(first, Source(), options)
    source = DyingSource(tmp_path / "marker")
    (tmp_path / "marker").touch()
    described = describe_run(second, source, options)
    (tmp_path / "marker").unlink()
    survived = run_backtest(second, source, options, start=lambda: local_executor(2))
    assert described.id == survived.run.id == whole.run.id
    assert survived.trades.equals(whole.trades)


def test_folds_cover_the_grid_once_and_no_block_reaches_over_a_boundary():
    grid = Grid(BEGIN, BEGIN + 200 * HOUR, HOUR)
    folds = cut_folds(grid, 60 * HOUR)
    instants = [instant for fold in folds for block in fold for instant in block.instants()]
    assert instants == grid.instants()
    assert [block.number for fold in folds for block in fold] == list(range(sum(map(len, folds))))
    assert all(fold[-1].last < (number + 1) * 60 for number, fold in enumerate(folds))
    assert max(block.last - block.first + 1 for fold in folds for block in fold) <= BLOCK_INSTANTS


def opinions(count, *, right):
    """Return opinions that are off the mid by ten points, and settlements that agree with them or not."""
    tickers = [f"T{number}" for number in range(count)]
    values = {
        "asof": [BEGIN] * count, "ticker": tickers, "event_ticker": tickers, "category": ["Sports"] * count,
        "model": ["m"] * count, "p": [0.6] * count, "p_bid": [0.495] * count, "p_ask": [0.505] * count,
    }  # fmt: skip
    wins = [number % 10 < (6 if right else 5) for number in range(count)]
    settled = rows(SETTLEMENTS, ticker=tickers, result=["yes" if win else "no" for win in wins])
    settled = settled.with_columns(seen_ts=pl.lit(BEGIN + 10 * HOUR).cast(SETTLEMENTS["seen_ts"]))
    return pl.DataFrame(values).cast(dict(OPINIONS)), settled


def test_belief_is_earned_from_settled_markets_only():
    believed = refit(Beliefs(), *opinions(4_000, right=True), BEGIN + 10 * HOUR).for_model("elo", "Sports")
    assert believed.k == 0
    skilled = refit(Beliefs(built_in=frozenset({"m"})), *opinions(4_000, right=True), BEGIN + 10 * HOUR)
    assert skilled.for_model("m", "Sports").k > 0.8
    unskilled = refit(Beliefs(built_in=frozenset({"m"})), *opinions(4_000, right=False), BEGIN + 10 * HOUR)
    assert unskilled.for_model("m", "Sports").k == 0


def test_a_settlement_counts_from_its_publication_on():
    early = refit(Beliefs(built_in=frozenset({"m"})), *opinions(4_000, right=True), BEGIN + 9 * HOUR)
    assert early.records == ()


def test_workers_with_another_store_or_version_are_refused(store, tmp_path, monkeypatch):
    with local_executor(1) as executor:
        check_workers(executor, store.folder)
        monkeypatch.setattr("fairline.backtesting.run.__version__", "9.9.9")
        with pytest.raises(UsageError, match="another version of fairline"):
            check_workers(executor, store.folder)


def test_the_period_is_what_was_recorded_unless_given(store, tmp_path):
    assert find_period(store, None, None) == (BEGIN, BEGIN + 47 * HOUR)
    assert find_period(store, BEGIN + HOUR, None) == (BEGIN + HOUR, BEGIN + 47 * HOUR)
    with pytest.raises(StoreError, match="no quotes"):
        find_period(Store(tmp_path / "empty"), None, None)


def test_a_period_outside_the_recording_names_the_field_and_what_was_recorded(store):
    with pytest.raises(UsageError, match="last quote of the store is from 2026-11-") as late:
        find_period(store, BEGIN + 100 * HOUR, None)
    with pytest.raises(UsageError, match="first quote of the store is from 2026-11-") as early:
        find_period(store, None, BEGIN - HOUR)
    assert (late.value.field, early.value.field) == ("since", "until")


def test_a_run_is_described_by_its_models_rules_and_data(store):
    run = describe_run(store, Source(), OPTIONS)
    assert run.models == {"optimist": "1"}
    assert run.id != describe_run(store, Source(), replace(OPTIONS, fills="rest")).id
