"""The library in scripts and inside a running event loop."""

import asyncio

import polars as pl
import pytest

import fairline
from fairline.kalshi import KalshiError
from fairline.sim import Exchange, Fault


@pytest.fixture
def forecast(exchange, tmp_path):
    columns = exchange.world.columns
    table = pl.DataFrame({"ticker": columns.ticker, "p": (columns.ask / 10_000 + 0.08).clip(0, 0.99)})
    quoted = (columns.status == 1) & (columns.ask > 0)
    table.filter(pl.Series(quoted)).write_csv(tmp_path / "mine.csv")
    return str(tmp_path / "mine.csv")


def test_a_scan_returns_opportunities_in_dollars_with_everything_it_could_not_see(exchange, forecast):
    report = fairline.scan(forecast, exchange=exchange.url, category="Sports")
    assert report.complete
    rows = report.opportunities
    assert rows.height > 0
    assert rows["price"].is_between(0, 1).all()
    assert rows["p"].is_between(0, 1).all()
    assert set(rows["category"]) == {"Sports"}
    assert "price_u" in report.edges.columns
    assert report.funnel["kept"][-1] == rows["ticker"].n_unique()
    assert [problem.stage for problem in report.problems] == ["filters"]
    assert "complete" in repr(report)


def test_a_scan_explains_a_market_without_asking_the_exchange_again(exchange, forecast):
    report = fairline.scan(forecast, exchange=exchange.url, books=False)
    before = exchange.backend.requests
    ticker = report.opportunities["ticker"][0]
    explained = report.explain(ticker.lower())
    assert exchange.backend.requests == before
    assert any(side.is_opportunity for side in explained.sides)
    assert ticker in str(explained)
    with pytest.raises(fairline.FairlineError, match="not among the scanned markets"):
        report.explain("KXNOPE")


async def test_the_plain_functions_work_inside_a_running_event_loop(exchange, forecast):
    report = fairline.scan(forecast, exchange=exchange.url)
    listed = fairline.markets(exchange=exchange.url, category="Crypto")
    assert report.complete
    assert set(listed.markets["category"]) == {"Crypto"}


async def test_the_asynchronous_versions_run_side_by_side(exchange, forecast):
    counts = []
    scanned, listed, fee = await asyncio.gather(
        fairline.scan_async(forecast, exchange=exchange.url, progress=counts.append),
        fairline.markets_async(exchange=exchange.url),
        fairline.fee_async(type="quadratic", multiplier=1, size=100, price=0.10),
    )
    assert scanned.opportunities.height > 0
    assert listed.markets.height == scanned.listing.markets.height
    assert fee.fee == 0.63
    assert counts


def test_a_result_shows_itself_as_html_with_escaped_text(exchange, forecast):
    report = fairline.scan(forecast, exchange=exchange.url)
    page = report._repr_html_()
    assert page.count("<table>") == 2
    assert report.opportunities["ticker"][0] in page
    assert "<script" not in page
    assert "Funnel" in page
    assert "<table>" in fairline.markets(exchange=exchange.url)._repr_html_()
    assert "<table>" in report.explain(report.opportunities["ticker"][0])._repr_html_()
    assert "markets from" in fairline.coherence(exchange=exchange.url, books=False)._repr_html_()


def test_an_incomplete_result_says_so_everywhere():
    with Exchange(markets=200, seed=1, faults=[Fault("endless-cursor")]) as exchange:
        report = fairline.markets(exchange=exchange.url)
    assert not report.complete
    assert report.incomplete_reasons
    assert "INCOMPLETE" in repr(report)
    assert "Incomplete:" in report._repr_html_()


def test_errors_name_the_argument_and_keep_their_cause(exchange):
    with pytest.raises(fairline.FairlineError) as caught:
        fairline.scan(exchange=exchange.url, min_edge=500)
    assert caught.value.field == "min_edge_points"
    with pytest.raises(KalshiError):
        fairline.markets(exchange="http://127.0.0.1:9/trade-api/v2")
    with pytest.raises(fairline.FairlineError) as caught:
        fairline.fee(type="quadratic", price=0.5, at="garbage")
    assert isinstance(caught.value.__cause__, ValueError)


def test_a_fee_is_the_same_from_numbers_and_from_text():
    by_number = fairline.fee(type="quadratic", multiplier=1, size=12.5, price=0.375)
    assert by_number == fairline.fee(type="quadratic", multiplier=1, size="12.50", price="0.375")
    assert str(by_number).startswith("terms")
