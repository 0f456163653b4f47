"""A small store of made-up markets, as a watch would have recorded it: quotes, facts, scans and settlements."""

import random
from datetime import UTC, datetime, timedelta

import polars as pl

from fairline.store.datasets import FACTS, QUOTES, SCANS, SETTLEMENTS
from fairline.store.store import Store

BEGIN = datetime(2026, 11, 22, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
EVENTS = 12
HOURS = 48
DOLLAR = 1_000_000


def rows(schema, **columns):
    """Return rows of a dataset with these columns; the others are null."""
    height = len(next(iter(columns.values())))
    nulls = {name: [None] * height for name in schema if name not in columns}
    return pl.DataFrame(columns | nulls, strict=False).select(
        pl.col(name).cast(dtype) for name, dtype in schema.items()
    )


def record(folder, *, seed=1, events=EVENTS, hours=HOURS):
    """Record hourly scans of `events` markets whose prices wander, and settle each a few hours after its close."""
    rng = random.Random(seed)
    tickers = [f"KXTEST-26NOV22-{number}" for number in range(events)]
    closes = {ticker: BEGIN + (10 + number * (hours - 12) / events) * HOUR for number, ticker in enumerate(tickers)}
    price = {ticker: rng.randint(15, 85) for ticker in tickers}
    store = Store(folder)
    store.acquire()
    for hour in range(hours):
        now = store.next_ts(BEGIN + hour * HOUR)
        if hour == 0:
            store.append("facts", _facts(tickers, closes), now)
        for ticker in tickers:
            price[ticker] = min(95, max(5, price[ticker] + rng.randint(-4, 4)))
        store.append("quotes", _quotes(tickers, price, closes, now), now)
        settled = [t for t in tickers if closes[t] + 2 * HOUR <= now < closes[t] + 3 * HOUR]
        if settled:
            store.append("settlements", _settlements(settled, price, rng), now)
        store.append("scans", rows(SCANS, outcome=["done"], complete=[True], started_ts=[now]), now)
    store.release()
    return store


def _facts(tickers, closes):
    count = len(tickers)
    return rows(
        FACTS, ticker=tickers, event_ticker=[ticker.rpartition("-")[0] + ticker[-2:] for ticker in tickers],
        series_ticker=["KXTEST"] * count, category=["Sports"] * count, title=["Who wins?"] * count,
        market_type=["binary"] * count, close_ts=[closes[ticker] for ticker in tickers],
        fee_type=["quadratic"] * count, fee_multiplier_m=[10_000] * count,
    )  # fmt: skip


def _quotes(tickers, price, closes, now):
    active = [closes[ticker] > now for ticker in tickers]
    bids = [price[ticker] * 10_000 if live else None for ticker, live in zip(tickers, active, strict=True)]
    return rows(
        QUOTES, ticker=tickers, listed=active, status=["active"] * len(tickers), yes_bid_u=bids,
        yes_ask_u=[None if bid is None else bid + 10_000 for bid in bids],
        yes_bid_size_cc=[50_000] * len(tickers), yes_ask_size_cc=[50_000] * len(tickers),
    )  # fmt: skip


def _settlements(tickers, price, rng):
    wins = [rng.random() < price[ticker] / 100 for ticker in tickers]
    return rows(
        SETTLEMENTS, ticker=tickers, event_ticker=[ticker.rpartition("-")[0] + ticker[-2:] for ticker in tickers],
        result=["yes" if win else "no" for win in wins], payout_u=[DOLLAR if win else 0 for win in wins],
    )  # fmt: skip
