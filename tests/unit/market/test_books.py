import polars as pl
import pytest

from fairline.kalshi import Kalshi, Rate, TokenBucket, Transport
from fairline.kalshi.books import read_books
from fairline.kalshi.wire import Levels, OrderBook
from fairline.market.books import levels, quotes, with_quotes
from fairline.models import TableModel
from fairline.scanner import ScanOptions, run_scan
from fairline.sim import Exchange, Fault
from tests.unit.pricing.test_edge import markets


def book(ticker="A", yes=(), no=()):
    return OrderBook(ticker, Levels([tuple(level) for level in yes], [tuple(level) for level in no]))


def top(*books):
    return quotes(books).row(0, named=True)


def test_the_ask_is_a_dollar_less_the_best_no_bid_and_the_order_of_levels_does_not_matter():
    yes, no = [("0.0100", "200.00"), ("0.4000", "7.50")], [("0.5500", "3.00"), ("0.2000", "9.00")]
    wanted = {"ticker": "A", "yes_bid_u": 400_000, "yes_bid_size_cc": 750, "yes_ask_u": 450_000, "yes_ask_size_cc": 300}
    assert top(book(yes=yes, no=no)) == wanted
    assert top(book(yes=yes[::-1], no=no[::-1])) == wanted


def test_an_empty_side_is_null_with_size_zero():
    assert top(book(yes=[("0.4000", "1.00")]))["yes_ask_u"] is None
    assert top(book()) == {
        "ticker": "A", "yes_bid_u": None, "yes_bid_size_cc": 0, "yes_ask_u": None, "yes_ask_size_cc": 0
    }  # fmt: skip


@pytest.mark.parametrize(
    "level", [("0.4000", "0.00"), ("0.0000", "5.00"), ("1.0000", "5.00"), ("x", "5.00"), ("0.4", "")]
)
def test_a_level_without_price_or_size_is_left_out(level):
    assert levels([book(yes=[level])]).is_empty()


def test_levels_at_one_price_are_added_up():
    assert top(book(yes=[("0.4000", "1.50"), ("0.4", "2.00")]))["yes_bid_size_cc"] == 350


def test_quotes_of_books_replace_those_of_markets_and_update_probabilities():
    before = markets({"ticker": "A"}, {"ticker": "B"})
    result, moved = with_quotes(before, quotes([book("A", yes=[("0.3000", "5.00")], no=[("0.6000", "8.00")])]))
    row, other = result.row(0, named=True), result.row(1, named=True)
    assert (row["yes_bid_u"], row["yes_ask_u"], row["p_mid"]) == (300_000, 400_000, 0.35)
    assert other == before.row(1, named=True)
    assert moved == 1
    assert with_quotes(result, quotes([book("A", yes=[("0.3000", "5.00")], no=[("0.6000", "8.00")])]))[1] == 0


@pytest.fixture
def forecast(tmp_path):
    def write(exchange):
        columns, truth = exchange.world.columns, exchange.world.truth
        path = tmp_path / "truth.csv"
        path.write_text("ticker,p\n" + "".join(f"{t},{p}\n" for t, p in zip(columns.ticker, truth, strict=True)))
        return TableModel(path)

    return write


def kalshi_of(exchange):
    return Kalshi(Transport(exchange.url, bucket=TokenBucket(Rate(1e9, 1e9))))


async def test_only_candidates_are_requoted_and_those_that_moved_away_are_dropped(forecast):
    with Exchange(markets=1_500, seed=3) as exchange:
        model = forecast(exchange)
        async with kalshi_of(exchange) as kalshi:
            first = await run_scan(kalshi, [model], ScanOptions(books=False))
            tickers = first.opportunities["ticker"].unique()
            # The listing is tickers by a cache; the books are as of now. Let the markets found move away meanwhile.
            columns = exchange.world.columns
            rows = [exchange.world.row[ticker] for ticker in tickers[:3]]
            stale = {row: exchange.backend.catalog.market(row) for row in rows}
            columns.bid[rows], columns.ask[rows] = 0, 0
            assert {row: exchange.backend.catalog.market(row) for row in rows} == stale
            result = await run_scan(kalshi, [model])
    listing, result = result.listing, result.evaluation
    assert listing.books == len(tickers)
    assert listing.moved == 3
    assert not set(tickers[:3]) & set(result.opportunities["ticker"])
    assert set(tickers[3:]) <= set(result.opportunities["ticker"])
    gone = result.edges.filter(pl.col("ticker").is_in(tickers[:3].to_list()))
    assert set(gone["bin"].cast(pl.String)) == {"offered"}


async def test_books_that_cannot_be_read_are_counted_with_the_reason(forecast):
    with Exchange(markets=300, seed=3) as exchange:
        async with kalshi_of(exchange) as kalshi:
            exchange.faults.set(Fault("moved"))
            read = await read_books(kalshi, [f"T{i}" for i in range(150)])
    assert read.unread == 150
    assert "401" in read.reason


async def test_an_invalid_ticker_does_not_affect_the_others(exchange):
    columns = exchange.world.columns
    good = [t for t, s in zip(columns.ticker, columns.status, strict=True) if s == 1][:5]
    async with Kalshi(Transport(exchange.url, bucket=TokenBucket(Rate(1e9, 1e9)))) as kalshi:
        read = await read_books(kalshi, [*good[:2], "A B", *good[2:]])
    assert {book.ticker for book in read.rows} == set(good)
    assert [(r.ticker, r.reason) for r in read.rejected] == [("A B", "cannot be requested")]
    assert read.unread == 0
