import json

import pytest

from fairline.kalshi import wire
from fairline.kalshi.decoding import error_body
from fairline.kalshi.errors import ResponseError, ShapeError

MARKET = {
    "ticker": "KX-1",
    "event_ticker": "KX",
    "status": "active",
    "market_type": "binary",
    "yes_bid_dollars": "0.5800",
    "yes_ask_dollars": "0.6200",
    "yes_bid_size_fp": "10.00",
    "yes_ask_size_fp": "20.00",
    "close_time": "2026-12-01T00:00:00Z",
}


def page(*markets, **more):
    return wire.markets_page(json.dumps({"markets": list(markets), "cursor": "", **more}).encode())


def without(name):
    return {key: value for key, value in MARKET.items() if key != name}


def event(ticker):
    return {"event_ticker": ticker, "series_ticker": "KXMLBGAME"}


def test_events_carry_their_own_milestone_and_a_foreign_one_is_ignored():
    game = {"start_date": "2026-07-10T22:45:00Z", "primary_event_tickers": ["A"], "related_event_tickers": ["A", "B"],
            "details": {"home_team_id": "h", "away_team_id": "w", "status": "created"}}  # fmt: skip
    golf = {"start_date": "2026-07-10T11:00:00Z", "primary_event_tickers": ["C"], "details": {"competitor_ids": ["x"]}}
    legs = [{**golf, "primary_event_tickers": ["D"]}] * 2
    strange = [{"start_date": 5, "primary_event_tickers": ["A"]}, "text", None]
    legs[1] = {**legs[1], "start_date": "2026-07-12T11:00:00Z"}
    both = {**game, "primary_event_tickers": ["A", "A", "E"]}
    body = {
        "events": [event(name) for name in "ABCDE"],
        "milestones": [both, golf, *legs, both, *strange],
        "cursor": "",
    }
    bad = game | {"primary_event_tickers": ["C"], "details": {"home_team_id": "BYTE"}}
    body["milestones"].append(bad)
    page = wire.events_page(json.dumps(body).encode().replace(b"BYTE", b"\xff"))
    assert [row.milestone and (row.milestone.home, row.milestone.away) for row in page.rows] == [
        ("h", "w"), None, (None, None), None, ("h", "w"),
    ]  # fmt: skip
    assert not page.rejected
    for other in ({"milestones": None}, {"milestones": {"a": 1}}, {}):
        rows = wire.events_page(json.dumps({"events": [event("A")], "cursor": "", **other}).encode()).rows
        assert [row.milestone for row in rows] == [None]


def test_prices_stay_the_strings_that_were_sent():
    assert page(MARKET).rows[0].yes_bid_dollars == "0.5800"


def test_unknown_fields_and_enum_values_are_normal():
    odd = MARKET | {"status": "suspended_for_review", "market_type": "ternary", "new_field": {"a": [1]}}
    result = page(odd)
    assert result.rows[0].status == "suspended_for_review"
    assert not result.rejected


def test_no_outcome_reaches_a_market():
    row = page(MARKET | {"result": "yes", "settlement_value_dollars": "1.0000", "expiration_value": "Yes"}).rows[0]
    bounds = {"settlement_bounds_type", "settlement_floor_dollars"}
    names = set(row.__struct_fields__) - bounds
    assert not any("result" in name or "settle" in name or "expiration_value" in name for name in names)


@pytest.mark.parametrize("cursor", ["", None, "absent"])
def test_empty_null_and_absent_cursors_all_mean_the_end(cursor):
    body = {"markets": []} | ({} if cursor == "absent" else {"cursor": cursor})
    assert wire.markets_page(json.dumps(body).encode()).cursor is None


@pytest.mark.parametrize(
    "market,field,value,reason",
    [
        (MARKET | {"yes_bid_dollars": None}, "yes_bid_dollars", "null", "got `null`"),
        (MARKET | {"yes_bid_dollars": 0.58}, "yes_bid_dollars", "0.58", "got `float`"),
        (without("yes_ask_dollars"), "yes_ask_dollars", "", "missing"),
        (without("ticker"), "ticker", "", "missing"),
        (MARKET | {"floor_strike": "12"}, "floor_strike", '"12"', "got `str`"),
    ],
)
def test_a_malformed_market_costs_one_row_and_says_why(market, field, value, reason):
    result = page(MARKET | {"ticker": "OK-1"}, market, MARKET | {"ticker": "OK-2"}, cursor="next")
    assert [row.ticker for row in result.rows] == ["OK-1", "OK-2"]
    assert result.cursor == "next"
    (bad,) = result.rejected
    assert (bad.field, bad.value) == (field, value)
    assert reason in bad.reason


def test_the_retired_cents_format_is_named_and_not_read_as_zero():
    cents = without("yes_bid_dollars") | {"yes_bid": 35}
    (bad,) = page(cents).rejected
    assert "yes_bid = 35" in bad.reason
    assert "cents format retired on 2026-03-12" in bad.reason


@pytest.mark.parametrize("item", ["text", 5, None, []])
def test_values_that_are_not_objects_are_rejected_whole(item):
    assert page(item).rejected[0].reason == "not a JSON object"


@pytest.mark.parametrize(
    "body,sentence",
    [
        (b"<!doctype html>", "web page"),
        (b"", "empty"),
        (b'{"markets":[', "not JSON"),
    ],
)
def test_a_body_that_is_not_a_page_is_a_retryable_error(body, sentence):
    with pytest.raises(ResponseError, match=sentence) as caught:
        wire.markets_page(body)
    assert caught.value.retryable


@pytest.mark.parametrize("body", [b'{"markets":{}}', b"[1]", b'{"cursor":""}', b'{"markets":[],"cursor":5}', b"null"])
def test_json_of_another_shape_is_not_retried(body):
    with pytest.raises(ShapeError, match="no list of markets") as caught:
        wire.markets_page(body)
    assert not caught.value.retryable


@pytest.mark.parametrize(
    "body,expected",
    [
        (b'{"error":{"code":"a","message":"b","details":"c"}}', ("a", "b", "c")),
        (b'{"error":"too many requests"}', ("", "too many requests", "")),
        (b'{"msg":"Invalid format"}', ("", "Invalid format", "")),
        (b'{"code":"x","message":"y"}', ("x", "y", "")),
        (b"<html>", ("", "", "")),
        (b"[]", ("", "", "")),
        (b'{"error":null}', ("", "", "")),
        (b"", ("", "", "")),
    ],
)
def test_all_shapes_of_error_bodies_are_read(body, expected):
    assert error_body(body) == expected


BAD_VALUES = {
    "number out of range": b'"floor_strike":1e400',
    "strike beyond any integer": b'"floor_strike":1e18',
    "lone surrogate": b'"title":"a\\ud800b"',
    "bytes that are not UTF-8": b'"title":"a\xffb"',
    "nesting of 100,000 levels": b'"custom_strike":' + b"[" * 100_000 + b"]" * 100_000,
    "nesting in an unknown field": b'"unknown":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "not a number": b'"floor_strike":NaN',
}


@pytest.mark.parametrize("value", BAD_VALUES.values(), ids=BAD_VALUES)
def test_one_bad_value_costs_one_row_which_is_named(value):
    rows = [json.dumps(MARKET | {"ticker": f"KXA-{n}"}).encode() for n in range(3)]
    rows[1] = rows[1][:-1] + b"," + value + b"}"
    for body in (
        b'{"cursor":"next","markets":[' + b",".join(rows) + b"]}",
        b'{"markets":[' + b",".join(rows) + b'],"cursor":"next"}',
    ):
        page = wire.markets_page(body)
        assert [row.ticker for row in page.rows] == ["KXA-0", "KXA-2"]
        assert [(row.ticker, bool(row.reason)) for row in page.rejected] == [("KXA-1", True)]
        assert page.cursor == "next"


def test_a_market_without_a_ticker_is_rejected_by_name_of_the_field():
    page = wire.markets_page(json.dumps({"markets": [MARKET | {"ticker": ""}] * 3, "cursor": ""}).encode())
    assert page.rows == []
    assert {row.field for row in page.rejected} == {"ticker"}
    assert len(page.rejected) == 3


def test_an_answer_of_unreadable_rows_costs_no_memory():
    body = b'{"markets":[' + b"{}," * 200_000 + b'{}],"cursor":""}'
    with pytest.raises(ShapeError, match="more than 1,000 markets could not be read"):
        wire.markets_page(body)


@pytest.mark.parametrize("multiplier", ["1e400", "1e18", "1e10", "-1"])
def test_a_series_with_an_impossible_multiplier_is_rejected(multiplier):
    body = b'{"series":[{"ticker":"A","fee_multiplier":1},{"ticker":"B","fee_multiplier":%s}]}' % multiplier.encode()
    page = wire.series_list(body)
    assert [series.ticker for series in page.rows] == ["A"]
    assert [(r.ticker, r.field) for r in page.rejected] == [("B", "fee_multiplier")]


@pytest.mark.parametrize(
    ("end", "missing"),
    [(b"}", True), (b',"cursor":null}', True), (b',"next_cursor":"a"}', True), (b',"cursor":""}', False)],
)
def test_a_page_knows_whether_its_cursor_is_missing(end, missing):
    page = wire.markets_page(b'{"markets":[]' + end)
    assert page.cursor is None
    assert page.cursor_missing == missing


@pytest.mark.parametrize("body", [b'{"error":"\xff"}', b"\xff\xfe", b"[" * 100_000])
def test_an_error_body_that_is_not_text_says_nothing(body):
    assert error_body(body) == ("", "", "")


@pytest.mark.parametrize("side", ["yes_dollars", "no_dollars"])
def test_an_order_book_may_have_null_for_an_empty_side_but_must_have_both(side):
    levels = {"yes_dollars": [["0.4000", "1.00"]], "no_dollars": [["0.5000", "1.00"]]}

    def read(book):
        return wire.order_books(json.dumps({"orderbooks": [{"ticker": "A", "orderbook_fp": book}]}).encode())

    assert getattr(read(levels | {side: None}).rows[0].orderbook_fp, side) is None
    del levels[side]
    assert read(levels).rows == []
    assert [(r.ticker, r.field) for r in read(levels).rejected] == [("A", "orderbook_fp")]
    assert read(levels | {side + "_fp": []}).rows == []


@pytest.mark.parametrize("cost", ["-5", "1e400", "1e9", '"10"'])
def test_an_impossible_cost_of_requests_is_refused(cost):
    with pytest.raises(ShapeError):
        wire.endpoint_costs(b'{"default_cost":%s}' % cost.encode())


@pytest.mark.parametrize("amount", ["abc", "", "1,000.00"])
def test_a_balance_that_is_no_amount_is_an_error_of_our_own(amount):
    with pytest.raises(ShapeError, match="balance_dollars"):
        _ = wire.balance(json.dumps({"balance": 1, "balance_dollars": amount}).encode()).dollars
