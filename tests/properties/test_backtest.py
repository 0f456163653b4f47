"""What a backtest must not find: profit in fair markets, and significance in the best of many coin flips."""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from fairline.backtesting.backtest import BacktestOptions, run_backtest
from fairline.backtesting.decide import Grid, Terms
from fairline.backtesting.simulate import TradingRules
from fairline.backtesting.trades import TRADES
from fairline.backtesting.trials import correct_for_trials
from fairline.market.fees import POLICIES
from fairline.market.filters import Filters
from fairline.pricing.rules import Rules
from fairline.scoring.metrics import clustered_mean
from fairline.store.datasets import FACTS, QUOTES, SCANS, SETTLEMENTS
from fairline.store.store import Store
from tests.unit.backtesting.recorded import BEGIN, DOLLAR, HOUR, rows

SEEDS = 100
MARKETS = 150
MODELS = 200
EVENTS = 100
EVERYTHING = Rules(
    min_edge_points=0.0, min_ev=-1.0, min_believed_ev=-1.0, max_spread_percent=200.0, suspect_points=100.0
)
EXACT = POLICIES["exact"]


def record_fair_markets(folder, seed):
    """Record two scans of markets whose midpoint is the exact probability of YES, and their settlement."""
    rng = np.random.default_rng(seed)
    tickers = [f"KXFAIR-26NOV22-{number}" for number in range(MARKETS)]
    bid = rng.integers(3, 95, MARKETS)
    ask = bid + rng.integers(1, 4, MARKETS)
    wins = rng.random(MARKETS) < (bid + ask) / 200
    store = Store(folder)
    store.acquire()
    now = store.next_ts(BEGIN)
    facts = {
        "ticker": tickers, "event_ticker": tickers, "series_ticker": ["KXFAIR"] * MARKETS,
        "market_type": ["binary"] * MARKETS, "close_ts": [BEGIN + 5 * HOUR] * MARKETS,
        "fee_type": ["quadratic"] * MARKETS, "fee_multiplier_m": [10_000] * MARKETS,
    }  # fmt: skip
    store.append("facts", rows(FACTS, **facts), now)
    quotes = {
        "ticker": tickers, "listed": [True] * MARKETS, "status": ["active"] * MARKETS,
        "yes_bid_u": (bid * 10_000).tolist(), "yes_ask_u": (ask * 10_000).tolist(),
        "yes_bid_size_cc": [100_000] * MARKETS, "yes_ask_size_cc": [100_000] * MARKETS,
    }  # fmt: skip
    store.append("quotes", rows(QUOTES, **quotes), now)
    for hour in range(2):
        done = rows(SCANS, outcome=["done"], complete=[True], started_ts=[BEGIN])
        store.append("scans", done, store.next_ts(BEGIN + hour * HOUR))
    settled = rows(
        SETTLEMENTS, ticker=tickers, event_ticker=tickers, result=["yes" if win else "no" for win in wins],
        payout_u=[DOLLAR if win else 0 for win in wins],
    )  # fmt: skip
    store.append("settlements", settled, store.next_ts(BEGIN + 6 * HOUR))
    store.release()
    return store


@dataclass(frozen=True)
class CoinFlip:
    """Prefers YES or NO of each market at random."""

    seed: int
    name: str = "coin flip"
    version: str = "1"

    def covers(self, markets):
        return pl.col("p_mid").is_not_null()

    def requests(self, markets, asof):
        return []

    def predict(self, markets, payloads, asof):
        heads = pl.Series(np.random.default_rng(self.seed).random(markets.height) < 0.5)
        return markets.sort("ticker").select(
            "ticker",
            p=pl.when(heads).then(0.999).otherwise(0.001),
            p_sd=pl.lit(None, dtype=pl.Float64),
            model=pl.lit(self.name),
            asof=pl.lit(asof),
        )


@dataclass(frozen=True)
class Source:
    seed: int

    def load(self):
        return [CoinFlip(self.seed)]

    def inputs(self, store):
        return self

    def known_at(self, requests, at):
        return {}


def backtest(folder, seed):
    """Return the settled trades of coin flips on fair markets."""
    store = record_fair_markets(folder, seed)
    options = BacktestOptions(
        grid=Grid(BEGIN, BEGIN, HOUR),
        terms=Terms(Filters(), EVERYTHING, EXACT),
        trading=TradingRules(
            enter="first", fills="take", every=HOUR, lag=timedelta(minutes=1), max_gap=2 * HOUR, rest_for=HOUR,
            size_cc=100, bankroll=None, fees=EXACT,
        ),
    )  # fmt: skip
    return run_backtest(store, Source(seed), options).trades.filter(pl.col("count_cc") > 0)


def holds(trades):
    """Return whether net profit is minus half the spread and the fee, within its interval."""
    expected = pl.col("mid") - (pl.col("price_u") + pl.col("fee_u")) / DOLLAR
    net = (pl.col("payout_u") - pl.col("price_u") - pl.col("fee_u")) / DOLLAR
    difference = clustered_mean(trades.select("event_ticker", difference=net - expected), "difference")
    return difference.low <= 0 <= difference.high


def test_a_coin_flip_pays_half_the_spread_and_the_fee(tmp_path):
    trades = backtest(tmp_path / "store", 1)
    assert trades.height == MARKETS
    assert 0.3 < (trades["side"] == "yes").mean() < 0.7
    assert holds(trades)


@pytest.mark.slow
def test_fair_markets_pay_nothing_in_at_least_ninety_of_a_hundred_worlds(tmp_path):
    assert sum(holds(backtest(tmp_path / str(seed), seed)) for seed in range(SEEDS)) >= 90


def noise_trades(rng, outcomes):
    """Return trades that pick a side of each event at random, at 50 cents with a spread of 2 cents."""
    names = [f"E{number}" for number in range(EVENTS)]
    yes = rng.random(EVENTS) < 0.5
    columns = {
        "event_ticker": names, "ticker": names,
        "side": ["yes" if side else "no" for side in yes], "count_cc": [100] * EVENTS, "price_u": [510_000] * EVENTS,
        "fee_u": [17_500] * EVENTS, "other_price_u": [510_000] * EVENTS, "other_fee_u": [17_500] * EVENTS,
        "decided_ts": [BEGIN] * EVENTS, "payout_u": [DOLLAR * int(a == b) for a, b in zip(yes, outcomes, strict=True)],
    }  # fmt: skip
    blank = {name: [None] * EVENTS for name in TRADES if name not in columns}
    return pl.DataFrame(columns | blank, schema_overrides=TRADES).select(TRADES.names())


@pytest.mark.slow
def test_the_best_of_two_hundred_noise_models_is_rarely_significant():
    significant = 0
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        outcomes = rng.random(EVENTS) < 0.5
        runs = [(str(number), noise_trades(rng, outcomes)) for number in range(MODELS)]
        significant += correct_for_trials(runs, seed=seed).p_corrected < 0.05
    assert significant <= 9
