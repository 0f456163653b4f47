from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from fairline.errors import InputError, UsageError
from fairline.kalshi import Kalshi, Transport
from fairline.kalshi.transport import Retry
from fairline.kalshi.wire import Series
from fairline.market.filters import Filters
from fairline.market.frame import PREDICTIONS
from fairline.market.funnel import FunnelStep
from fairline.market.listing import read_listing
from fairline.market.selection import apply_filters
from fairline.scanner import evaluate, run_scan
from fairline.sim import Fault
from fairline.sources import Payload, Request, Sources, fetch
from tests.unit.pricing.test_edge import NOW, markets


class Stub:
    """A model that returns the given rows."""

    version = "1"

    def __init__(self, *rows, name="stub", note=None):
        self.name, self.rows, self.note = name, rows, note

    def covers(self, markets):
        return pl.lit(value=True)

    def requests(self, markets, asof):
        return []

    def predict(self, markets, payloads, asof):
        return pl.DataFrame(
            [(t, p, sd, self.name, asof, self.note) for t, p, sd in self.rows], schema=PREDICTIONS, orient="row"
        )


class Failing(Stub):
    def predict(self, markets, payloads, asof):
        raise ZeroDivisionError("boom")


def client(exchange, bucket, tries=6):
    return Kalshi(Transport(exchange.url, bucket=bucket, retry=Retry(tries=tries, base_s=0.001)))


def test_evaluation_is_pure():
    frame, model = markets({}, {}), Stub(("T0", 0.7, 0.1))
    first, second = (evaluate(frame, [model], {}, asof=NOW) for _ in range(2))
    assert first.edges.equals(second.edges)
    assert first.funnel == second.funnel


def test_a_failing_model_is_a_problem_with_its_traceback_and_the_others_go_on():
    result = evaluate(markets({}), [Failing(name="bad"), Stub(("T0", 0.9, None))], {}, asof=NOW)
    (problem,) = result.problems
    assert (problem.model, problem.message) == ("bad", "ZeroDivisionError: boom")
    assert "predict" in problem.traceback
    assert result.edges["p"].drop_nulls().len() == 2


def test_strict_raises_instead():
    with pytest.raises(ZeroDivisionError):
        evaluate(markets({}), [Failing()], {}, asof=NOW, strict=True)


@pytest.mark.parametrize(
    "p,sd,sentence",
    [
        (1.5, None, "not a probability"),
        (-0.1, None, "not a probability"),
        (float("nan"), None, "not a probability"),
        (0.5, -1.0, "p_sd = -1.0 is impossible"),
        (0.5, float("inf"), "is impossible"),
        (0.01, 0.2, "p_sd = 0.2 is impossible"),
        (1.0, 0.1, "p_sd = 0.1 is impossible"),
    ],
)
def test_an_impossible_probability_is_a_problem_and_not_used(p, sd, sentence):
    result = evaluate(markets({}), [Stub(("T0", p, sd))], {}, asof=NOW)
    assert sentence in result.problems[0].message
    assert result.edges["p"].null_count() == 2


def test_a_market_priced_twice_by_one_model_counts_once():
    result = evaluate(markets({}), [Stub(("T0", 0.5, None), ("T0", 0.6, None))], {}, asof=NOW)
    assert result.edges.height == 2
    assert "priced twice" in result.problems[0].message


def test_two_models_price_a_market_side_by_side():
    result = evaluate(markets({}), [Stub(("T0", 0.5, None), name="a"), Stub(("T0", 0.6, None), name="b")], {}, asof=NOW)
    assert sorted(result.edges["model"].to_list()) == ["a", "a", "b", "b"]


def test_a_missing_input_is_a_problem_of_its_model_only():
    class Reader(Stub):
        def requests(self, markets, asof):
            return [Request("file", "gone")]

    refused = {Request("file", "gone"): InputError("the file gone does not exist")}
    result = evaluate(markets({}), [Reader(name="r"), Stub(("T0", 0.9, None))], refused, asof=NOW)
    assert [p.message for p in result.problems] == ["the file gone does not exist"]
    assert "no payload" in evaluate(markets({}), [Reader()], {}, asof=NOW).problems[0].message


async def test_fetch_reads_files_and_gives_reasons_for_the_rest(tmp_path):
    (tmp_path / "a").write_bytes(b"\x00raw")
    wanted = [Request("file", str(tmp_path / "a")), Request("file", str(tmp_path / "b")), Request("ftp", "x")]
    got = await fetch([*wanted, wanted[0]])
    assert isinstance(got[wanted[0]], Payload)
    assert got[wanted[0]].body == b"\x00raw"
    assert "does not exist" in str(got[wanted[1]])
    assert "unknown source" in str(got[wanted[2]])


def test_filters_report_how_many_rows_each_dropped():
    frame = markets({}, {"title": "Rain in Dorport"}, {"close_time": "2026-11-23T00:00:00Z"}, {"volume_fp": "500.00"})
    filters = Filters(closes_within=timedelta(days=30), search="RAIN")
    matching, steps = apply_filters(filters, frame, [], NOW)
    assert matching["ticker"].to_list() == ["T1"]
    assert [(s.kept, s.dropped) for s in steps] == [(4, 0), (4, 0), (1, 3)]
    assert apply_filters(Filters(closes_within=timedelta(days=3)), frame, [], NOW)[0]["ticker"].to_list() == ["T2"]
    assert apply_filters(Filters(min_volume=100), frame, [], NOW)[0]["ticker"].to_list() == ["T3"]


def test_a_category_is_matched_in_any_case_and_by_any_of_a_series_categories():
    frame = markets({}, {}).with_columns(series_ticker=pl.Series(["KXA", "KXB"]))
    series = [
        Series("KXA", category="Politics", categories=["Politics", "Elections"]),
        Series("KXB", category="Sports"),
    ]
    assert apply_filters(Filters(categories=("ELECTIONS",)), frame, series, NOW)[0]["ticker"].to_list() == ["T0"]


async def test_a_scan_reads_every_open_market_and_their_context(exchange, unhurried):
    async with client(exchange, unhurried) as kalshi:
        result = await run_scan(kalshi, [])
    listing, evaluation = result.listing, result.evaluation
    assert listing.complete
    assert listing.listed == 1_500
    assert listing.markets["series_ticker"].null_count() == 0
    assert listing.markets["category"].null_count() == 0
    assert not listing.quarantined
    assert evaluation.funnel[0].kept == 1_500


@pytest.mark.parametrize("fault", ["429", "500", "502-html", "reset", "reset-body"])
async def test_a_scan_survives_each_transient_fault_with_the_same_result(exchange, unhurried, fault):
    async with client(exchange, unhurried) as kalshi:
        clean = await read_listing(kalshi)
    exchange.faults.set(Fault(fault, 1.0, 2))
    async with client(exchange, unhurried) as kalshi:
        shaken = await read_listing(kalshi)
    assert shaken.complete
    assert shaken.retries == 2
    assert shaken.markets.equals(clean.markets)


async def test_a_malformed_row_is_quarantined_alone_and_named(exchange, unhurried):
    exchange.faults.set(Fault("malformed-row", 1.0, 1))
    async with client(exchange, unhurried) as kalshi:
        listing = await read_listing(kalshi)
    assert listing.listed == 1_499
    (bad,) = listing.quarantined
    assert (bad.field, bad.ticker in exchange.backend.catalog.row) == ("yes_bid_dollars", True)


async def test_a_row_with_an_unknown_status_is_read_again(exchange, unhurried):
    exchange.faults.set(Fault("unknown-values", 1.0, 1))
    async with client(exchange, unhurried) as kalshi:
        listing = await read_listing(kalshi)
    assert listing.listed == 1_500
    assert listing.funnel == [FunnelStep("still open", 1_500, 0)]
    assert listing.report.rechecked == 1


async def test_a_cursor_loop_makes_the_scan_incomplete_and_ends(exchange, unhurried):
    exchange.faults.set(Fault("endless-cursor"))
    async with client(exchange, unhurried) as kalshi:
        kalshi_listing = await small_pages(kalshi)
    assert "pages in a row with nothing new" in kalshi_listing.incomplete_reasons[0]


async def small_pages(kalshi):
    from fairline.kalshi.crawl import MarketCrawl
    from fairline.kalshi.routes import Query

    crawl = MarketCrawl(kalshi, Query(page_size=500), list)
    async for _ in crawl.pages():
        pass
    return crawl.report


async def test_filters_by_series_event_status_and_category_agree_with_the_whole(exchange, unhurried):
    async with client(exchange, unhurried) as kalshi:
        whole = (await read_listing(kalshi)).markets
        crypto = (await read_listing(kalshi, Filters(categories=("crypto",)))).markets
        series = (await read_listing(kalshi, Filters(series=("KXHOUSERACE",)))).markets
        event_ticker = whole["event_ticker"][0]
        event = (await read_listing(kalshi, Filters(events=(event_ticker,)))).markets
        paused = (await read_listing(kalshi, Filters(status="paused"))).markets

    def tickers(frame):
        return sorted(frame["ticker"])

    assert tickers(crypto) == tickers(whole.filter(pl.col("category") == "Crypto")) != []
    assert tickers(series) == tickers(whole.filter(pl.col("series_ticker") == "KXHOUSERACE")) != []
    assert tickers(event) == tickers(whole.filter(pl.col("event_ticker") == event_ticker)) != []
    assert set(paused["status"]) == {"inactive"}


async def test_unknown_categories_and_series_are_refused_with_the_known_ones(exchange, unhurried):
    async with client(exchange, unhurried) as kalshi:
        with pytest.raises(UsageError, match="Categories: .*Crypto"):
            await read_listing(kalshi, Filters(categories=("cryptoo",)))
        with pytest.raises(UsageError, match="no series KXNOPE"):
            await read_listing(kalshi, Filters(series=("KXNOPE",)))


async def test_without_the_series_list_a_scan_continues_and_is_incomplete(exchange, unhurried):
    async def series_down(*_, **__):
        from fairline.kalshi.errors import ServerError

        raise ServerError("/series answered 500", status=500)

    async with client(exchange, unhurried) as kalshi:
        kalshi.series.list = series_down
        listing = await read_listing(kalshi)
    assert listing.listed == 1_500
    assert not listing.complete, "fees are not known, so the answer is not whole"
    assert "fee multipliers are not known" in listing.incomplete_reasons[0]


async def test_an_unreadable_series_or_event_is_named_and_makes_the_listing_incomplete(exchange, unhurried):
    from fairline.kalshi.decoding import Page, Rejected

    async with client(exchange, unhurried) as kalshi:
        whole = await kalshi.series.list()
        bad = Rejected("KXHOUSERACE", "fee_multiplier", '"1"', "expected `float`, got `str`")

        async def partly(**_):
            return Page([s for s in whole.rows if s.ticker != bad.ticker], [bad], None)

        kalshi.series.list = partly
        listing = await read_listing(kalshi, Filters(categories=("elections",)))
    assert listing.incomplete_reasons == [
        "1 series could not be read: their markets have no category and an assumed fee"
    ]
    assert listing.quarantined == [bad]


async def test_series_and_event_filters_together_mean_both(exchange, unhurried):
    async with client(exchange, unhurried) as kalshi:
        event = exchange.backend.catalog.events[0]
        both = Filters(events=(event.ticker,), series=("KXHOUSERACE" if event.series != "KXHOUSERACE" else "KXCPI",))
        assert (await read_listing(kalshi, both)).markets.is_empty()
        with pytest.raises(UsageError, match="no event KXNOPE-1"):
            await read_listing(kalshi, Filters(events=("KXNOPE-1",)))


def test_asof_is_kept_for_every_prediction():
    result = evaluate(markets({}), [Stub(("T0", 0.9, None))], {}, asof=datetime(2026, 1, 1, tzinfo=UTC))
    assert set(result.edges["asof"].drop_nulls()) == {datetime(2026, 1, 1, tzinfo=UTC)}


def test_two_models_with_one_name_are_refused():
    with pytest.raises(UsageError, match="two models are called"):
        evaluate(markets({}), [Stub(("T0", 0.5, None)), Stub(("T0", 0.6, None))], {}, asof=NOW)


async def test_inputs_are_reused_for_their_declared_age(tmp_path):
    path = tmp_path / "x"
    path.write_text("old")
    other = tmp_path / "y"
    other.write_text("old")
    lasting, fresh, sources = Request("file", str(path), 3_600), Request("file", str(other)), Sources()
    await fetch([lasting, fresh], sources)
    path.write_text("new")
    other.write_text("new")
    result = await fetch([lasting, fresh], sources)
    assert (result[lasting].body, result[fresh].body) == (b"old", b"new")
    assert list(sources.memory) == [lasting]
    assert (await fetch([lasting]))[lasting].body == b"new"


async def test_an_invalid_path_is_an_input_error():
    request = Request("file", "a\0b")
    assert isinstance((await fetch([request]))[request], InputError)


async def test_a_model_can_work_without_an_optional_payload(tmp_path):
    good, bad = Request("file", str(tmp_path / "good")), Request("file", str(tmp_path / "bad"))
    (tmp_path / "good").write_text("0.75")

    class Careful(Stub):
        def requests(self, markets, asof):
            return [good, bad]

        def predict(self, markets, payloads, asof):
            with pytest.raises(InputError, match="does not exist"):
                payloads[bad]
            self.rows = [("T0", float(payloads[good].body), None)]
            return super().predict(markets, payloads, asof)

    result = evaluate(markets({}), [Careful()], await fetch([good, bad]), asof=NOW)
    assert result.edges["p"].drop_nulls().len() == 2
    assert result.problems == []


def test_decided_within_uses_the_time_of_decision_and_not_of_closing():
    hour = timedelta(hours=1)
    frame = markets({}, {}, {}, {}).with_columns(
        decided_ts=pl.Series([NOW + hour, NOW + 48 * hour, None, NOW - hour], dtype=pl.Datetime("us", "UTC")),
        close_ts=NOW + timedelta(days=14),
    )
    matching, steps = apply_filters(Filters(decided_within=timedelta(days=1)), frame, [], NOW)
    assert matching["ticker"].to_list() == ["T0", "T3"]
    assert steps[-1].step == "decided within 1 day, 0:00:00"
    assert apply_filters(Filters(closes_within=timedelta(days=1)), frame, [], NOW)[0].is_empty()
