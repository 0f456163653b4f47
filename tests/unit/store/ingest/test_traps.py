"""What the exchange's past looks like and does not mean: a test for each trap, with answers as they were recorded."""

import json
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from fairline.kalshi import Kalshi, Rate, Retry, TokenBucket, Transport
from fairline.kalshi.http import Response
from fairline.store.ingest.batch import IngestStore
from fairline.store.ingest.exchange import ExchangeIngest
from fairline.store.ingest.plan import ExchangeOptions

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
OPEN = NOW - timedelta(days=3)
CLOSE = NOW - timedelta(days=2)
HOUR = timedelta(hours=1)


def text(moment):
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def market(ticker="KXA-1", **changes):
    row = {
        "ticker": ticker,
        "event_ticker": "KXA-1",
        "status": "finalized",
        "market_type": "binary",
        "title": "Will it?",
        "created_time": text(OPEN),
        "open_time": text(OPEN),
        "close_time": text(CLOSE),
        "expected_expiration_time": text(CLOSE + HOUR),
        "result": "yes",
        "settlement_value_dollars": "1.0000",
        "settlement_ts": text(CLOSE + HOUR / 2),
        "yes_bid_dollars": "0.0000",
        "yes_ask_dollars": "1.0000",
        "yes_bid_size_fp": "0.00",
        "yes_ask_size_fp": "0.00",
        "volume_fp": "5.00",
        "notional_value_dollars": "1.0000",
    }
    return {name: value for name, value in (row | changes).items() if value is not None}


def candle(end, bid="0.4000", ask="0.4500", *, volume="5.00", interest="7.00"):
    sides = {name: {"close_dollars": value} for name, value in (("yes_bid", bid), ("yes_ask", ask))}
    return sides | {"end_period_ts": int(end.timestamp()), "price": {}, "volume_fp": volume,
                    "open_interest_fp": interest}  # fmt: skip


def archived_candle(end, bid="0.4000", ask="0.4500", *, volume="5.00", interest="7.00"):
    sides = {name: {"close": value} for name, value in (("yes_bid", bid), ("yes_ask", ask))}
    return sides | {"end_period_ts": int(end.timestamp()), "price": {"close": None}, "volume": volume,
                    "open_interest": interest}  # fmt: skip


def trade(number, at, ticker="KXA-1"):
    return {"trade_id": f"{number}", "ticker": ticker, "created_time": text(at), "count_fp": "1.00",
            "yes_price_dollars": "0.4000", "taker_side": "yes"}  # fmt: skip


class FakeExchange:
    """The past of one series as a function. What is archived is 404 or empty on the live side."""

    def __init__(self):
        self.live, self.archived, self.candles, self.trades = [], [], {}, {}
        self.requested = []

    async def __call__(self, request):
        parts = urlsplit(request.url)
        path = parts.path.removeprefix("/trade-api/v2")
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.requested.append(path)
        status, body = self.answer(path, query)
        return Response(status, {"Content-Type": "application/json"}, json.dumps(body).encode())

    def answer(self, path, query):
        archived = {row["ticker"] for row in self.archived}
        if path == "/historical/cutoff":
            return 200, {"market_settled_ts": text(CLOSE), "trades_created_ts": text(OPEN)}
        if path in ("/markets", "/historical/markets"):
            return 200, {"markets": self.archived if "historical" in path else self.live, "cursor": ""}
        if path in ("/markets/trades", "/historical/trades"):
            # The trap: the live side answers 200 and empty for an archived market.
            rows = self.trades.get(query["ticker"], [])
            is_here = (query["ticker"] in archived) == ("historical" in path)
            return 200, {"trades": rows if is_here else [], "cursor": ""}
        if path == "/markets/candlesticks":
            tickers = [name for name in query["market_tickers"].split(",") if name not in archived]
            return 200, {
                "markets": [{"market_ticker": name, "candlesticks": self.candles.get(name, [])} for name in tickers]
            }
        ticker = path.removeprefix("/historical/markets/").removesuffix("/candlesticks")
        if ticker in archived:
            return 200, {"candlesticks": self.candles[ticker]}
        return (200, {"events": [], "cursor": ""}) if path == "/events" else (404, {})


@pytest.fixture
def exchange():
    return FakeExchange()


@pytest.fixture
def ingest(exchange, tmp_path):
    async def run(**options):
        transport = Transport("http://x/trade-api/v2", send=exchange, bucket=TokenBucket(Rate(1e9, 1e9)),
                              retry=Retry(tries=1))  # fmt: skip
        chosen = {"series": ("KXA",), "since": OPEN - timedelta(days=1), "every": 60} | options
        with IngestStore(tmp_path / "store", "production") as target:
            ingest = ExchangeIngest(Kalshi(transport), target, ExchangeOptions(**chosen), NOW)
            await ingest.prepare()
            report = await ingest.run()
            target.merge()
            return target.store, report

    return run


async def test_an_archived_market_is_read_from_the_archive_though_the_live_side_answers_empty(exchange, ingest):
    exchange.archived = [market()]
    exchange.candles["KXA-1"] = [archived_candle(OPEN + HOUR)]
    exchange.trades["KXA-1"] = [trade(1, OPEN + HOUR)]
    store, report = await ingest(trades=True)
    assert (report.candles, report.trades) == (1, 1)
    assert "/markets/candlesticks" not in exchange.requested
    row = store.read("quotes").filter(source="candles:60").row(0, named=True)
    assert (row["yes_bid_u"], row["yes_ask_u"]) == (400_000, 450_000), "text is in dollars, also without a suffix"


async def test_a_market_that_moves_into_the_archive_meanwhile_is_read_there(exchange, ingest):
    exchange.live = [market()]
    exchange.archived = [market()]
    exchange.candles["KXA-1"] = [archived_candle(OPEN + HOUR)]
    _, report = await ingest()
    assert report.candles == 1


async def test_a_market_on_both_sides_of_the_cutoff_is_one_market_with_each_trade_once(exchange, ingest):
    exchange.live = exchange.archived = [market()]
    exchange.candles["KXA-1"] = []
    exchange.trades["KXA-1"] = [trade(1, OPEN + HOUR), trade(1, OPEN + HOUR)]
    store, _ = await ingest(trades=True)
    assert store.read("facts").height == store.read("settlements").height == store.read("trades").height == 1


async def test_sentinels_are_missing_sides_and_the_candle_after_the_close_is_no_observation(exchange, ingest):
    exchange.live = [market()]
    exchange.candles["KXA-1"] = [
        candle(OPEN + HOUR, "0.0000", "0.0100"),
        candle(OPEN + 2 * HOUR, "0.9900", "1.0000"),
        candle(CLOSE + HOUR / 2, "0.0000", "1.0000"),
    ]
    store, _ = await ingest()
    quotes = store.read("quotes").filter(source="candles:60").select("yes_bid_u", "yes_ask_u").rows()
    assert quotes == [(None, 10_000), (990_000, None)]


async def test_daily_candles_are_known_at_midnight_in_new_york(exchange, ingest):
    midnight = datetime(2026, 11, 21, 5, tzinfo=UTC)
    exchange.live = [market()]
    exchange.candles["KXA-1"] = [candle(midnight)]
    store, _ = await ingest(every=1440)
    assert store.read("quotes").filter(source="candles:1440")["seen_ts"].to_list() == [midnight]


async def test_a_game_whose_close_time_is_days_after_it_ended_is_unlisted_when_it_settles(exchange, ingest):
    ended = NOW - timedelta(days=1)
    exchange.live = [market(close_time=text(NOW + timedelta(days=13)), settlement_ts=text(ended))]
    exchange.candles["KXA-1"] = [candle(ended - HOUR)]
    store, _ = await ingest()
    assert store.asof(ended)["ticker"].to_list() == ["KXA-1"]
    assert store.asof(ended + HOUR).is_empty()


async def test_trading_that_outlasts_the_close_time_is_kept(exchange, ingest):
    """The close time of a tied game lay 8.3 hours before its start, yet there are candles for the whole game."""
    exchange.live = [market(close_time=text(CLOSE - 12 * HOUR))]
    exchange.candles["KXA-1"] = [candle(CLOSE - 2 * HOUR, "0.6000", "0.6100")]
    store, _ = await ingest()
    during = store.asof(CLOSE - HOUR).row(0, named=True)
    assert (during["status"], during["yes_bid_u"]) == ("active", 600_000)


async def test_a_scalar_result_pays_its_value(exchange, ingest):
    exchange.live = [market(result="scalar", settlement_value_dollars="0.2400")]
    store, _ = await ingest()
    row = store.read("settlements").row(0, named=True)
    assert (row["result"], row["payout_u"], row["settled_ts"]) == ("scalar", 240_000, CLOSE + HOUR / 2)


async def test_a_result_is_not_known_before_its_settlement(exchange, ingest):
    exchange.live = [market()]
    store, _ = await ingest()
    assert store.read("settlements")["seen_ts"].to_list() == [CLOSE + HOUR / 2]


async def test_the_early_close_of_a_market_is_not_known_in_advance(exchange, ingest):
    expected = CLOSE + timedelta(days=30)
    exchange.live = [market(can_close_early=True, expected_expiration_time=text(expected))]
    store, _ = await ingest()
    assert store.read("facts")["close_ts"].to_list() == [expected]


async def test_a_market_created_late_is_not_known_before(exchange, ingest):
    created = OPEN + 5 * HOUR
    exchange.live = [market(created_time=text(created))]
    store, _ = await ingest()
    assert store.read("facts")["seen_ts"].to_list() == [created]


async def test_an_open_interest_of_zero_in_the_archive_is_unknown(exchange, ingest):
    exchange.archived = [market()]
    exchange.candles["KXA-1"] = [archived_candle(OPEN + HOUR, interest="0.00")]
    store, _ = await ingest()
    assert store.read("quotes").filter(source="candles:60")["open_interest_cc"].to_list() == [None]


async def test_one_minute_volumes_that_do_not_add_up_are_named(exchange, ingest):
    exchange.live = [market(open_time=text(CLOSE - HOUR), created_time=text(CLOSE - HOUR))]
    exchange.candles["KXA-1"] = [candle(CLOSE - HOUR / 2, volume="3.00")]
    _, report = await ingest(every=1)
    assert report.mismatches == ["KXA-1: candles add up to 3.00 contracts, the market says 5.00"]
    exchange.candles["KXA-1"].append(candle(CLOSE, volume="2.00"))
    _, report = await ingest(every=1, since=OPEN - timedelta(days=2))


async def test_a_market_of_an_old_form_without_sizes_has_facts_all_the_same(exchange, ingest):
    old = market(yes_bid_size_fp=None, yes_ask_size_fp=None, notional_value_dollars=None, volume_fp=None, volume=5,
                 floor_strike=80.5, strike_type="greater")  # fmt: skip
    exchange.archived = [old]
    exchange.candles["KXA-1"] = []
    store, _ = await ingest()
    row = store.read("facts").row(0, named=True)
    assert (row["title"], row["floor_strike"], row["close_ts"]) == ("Will it?", 80.5, CLOSE)


async def test_times_with_five_digits_of_a_second_are_read(exchange, ingest):
    exchange.live = [market(settlement_ts=text(CLOSE)[:-1] + ".49877Z")]
    store, _ = await ingest()
    assert store.read("settlements")["settled_ts"][0] == CLOSE + timedelta(microseconds=498_770)
