"""Checks every answer and message of the simulated exchange against the exchange's own specifications."""

import asyncio
import base64
import itertools
import re
import threading
import time
from urllib.parse import urlencode

import jsonschema
import pytest
import requests
import yaml
from cryptography.hazmat.primitives import serialization

from fairline.kalshi import ApiKeyAuth, parse_private_key
from fairline.sim import Exchange, Fault, Key, app, members
from fairline.sim.catalog import WorldCatalog
from fairline.sim.world import World
from tests.feed_client import feed, subscribe

PREFIX = "/trade-api/v2"

# Where recordings contradict the specification, the simulated exchange follows the recordings: path and query, the
# status of the answer, a part of its body, and what the specification says instead.
EXCEPTIONS = [
    ("/markets/NONE/orderbook", 200, '"yes_dollars":[]', "a 404 for an unknown market"),
    ("/markets/orderbooks?tickers=A,B", 200, '"ticker":"A,B"', "one book for each of a comma list"),
    ("/markets/NONE", 404, '{"error":{"code":"not_found"', "a flat code and message"),
    ("/markets?limit=1001", 400, "'Limit' failed on the 'lte' tag", "a code beside the message"),
    ("/events?limit=201", 400, '{"error":{"code":"bad_request"', "a flat code and message"),
    ("/markets?status=active", 400, '"msg":', "a value of the field as one of the filter"),
    ("/series?category=Nothing", 200, '{"series":[]}', "nothing about an unknown category"),
]


@pytest.fixture(scope="module")
def spec(shared):
    return yaml.safe_load((shared.parent / "kalshi" / "openapi.yaml").read_text())


@pytest.fixture(scope="module")
def feed_spec(shared):
    return yaml.safe_load((shared.parent / "kalshi" / "asyncapi.yaml").read_text())


def plain(schema):
    """Translate OpenAPI 3.0's `nullable` to JSON Schema."""
    if isinstance(schema, list):
        return [plain(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    result = {name: plain(each) for name, each in schema.items()}
    return {"anyOf": [{"type": "null"}, result]} if result.pop("nullable", False) else result


def validator(spec, schema):
    whole = {"components": plain(spec["components"])} | plain(schema)
    return jsonschema.Draft7Validator(whole, format_checker=jsonschema.FormatChecker())


@pytest.fixture(scope="module")
def living(rsa_pem):
    """Serve a world with combos, trades, settled and archived markets, and a key that may read."""
    world = World(1_200, combos=80, moves=30, speed=60, past=300, seed=21)
    public = serialization.load_pem_private_key(rsa_pem.encode(), None).public_key()
    with Exchange(catalog=WorldCatalog(world), keys=[Key("k", public, trader_seed=1)]) as exchange:
        yield exchange


@pytest.fixture(scope="module")
def member(rsa_pem):
    return ApiKeyAuth("k", parse_private_key(rsa_pem))


def ask(exchange, auth, path, **query):
    headers = auth.headers("GET", PREFIX + path)
    return requests.get(f"{exchange.url}{path}?{urlencode(query, doseq=True)}", headers=headers, timeout=20)


def examples(exchange):
    """Return a market, event and series of each kind, to put into paths."""
    world, catalog = exchange.world, exchange.backend.catalog
    columns = world.columns
    traded = max(range(len(columns.ticker)), key=lambda row: (columns.status[row] == 1) * columns.volume[row])
    archived = int(catalog.archived.nonzero()[0][0])
    event = catalog.events[columns.event[traded]]
    game = next(entry for state, entry in zip(world.events, catalog.events, strict=True) if state.kind == "game")
    return {
        "ticker": columns.ticker[traded], "event": event.ticker, "series": event.series, "game": game.ticker,
        "archived": columns.ticker[archived], "combo": columns.ticker[int(catalog.combos.nonzero()[0][0])],
    }  # fmt: skip


def calls(exchange):
    """Yield the path template of the specification, the path and the query of every endpoint, some more than once."""
    n, now = examples(exchange), exchange.world.now_us // 1_000_000
    hours = {"start_ts": now - 90_000, "end_ts": now, "period_interval": 60}
    ever = {"start_ts": now - 300 * 86_400, "end_ts": now, "period_interval": 1440}
    yield from ((path, path, {}) for path in (
        "/exchange/status", "/exchange/schedule", "/exchange/user_data_timestamp", "/series", "/series/fee_changes",
        "/events", "/events/multivariate", "/events/fee_changes", "/markets", "/markets/trades", "/historical/cutoff",
        "/historical/markets", "/historical/trades", "/structured_targets", "/multivariate_event_collections",
        "/search/tags_by_categories", "/search/filters_by_sport", "/account/limits", "/account/endpoint_costs",
        "/portfolio/balance", "/portfolio/positions", "/portfolio/fills", "/portfolio/orders", "/portfolio/settlements",
        "/portfolio/deposits", "/portfolio/subaccounts/balances", "/portfolio/subaccounts/transfers", "/api_keys",
        "/historical/fills", "/historical/orders", "/historical/positions",
    ))  # fmt: skip
    yield from ((path, path, {"limit": 5}) for path in (*members.EMPTY, "/incentive_programs"))
    yield "/series/fee_changes", "/series/fee_changes", {"show_historical": "true"}
    yield "/series/{series_ticker}", f"/series/{n['series']}", {}
    yield "/events", "/events", {"with_nested_markets": "true", "with_milestones": "true", "limit": 50}
    yield "/events/multivariate", "/events/multivariate", {"with_nested_markets": "true"}
    for nested in ("true", "false"):
        yield "/events/{event_ticker}", f"/events/{n['event']}", {"with_nested_markets": nested}
    combo_event = n["combo"].rpartition("-")[0]
    for event in (n["event"], combo_event):
        yield "/events/{event_ticker}/metadata", f"/events/{event}/metadata", {}
    for status in ("unopened", "open", "paused", "closed", "settled"):
        yield "/markets", "/markets", {"status": status, "limit": 300}
    yield "/markets", "/markets", {"mve_filter": "only"}
    for ticker in (n["ticker"], n["combo"]):
        yield "/markets/{ticker}", f"/markets/{ticker}", {}
    yield "/markets/{ticker}/orderbook", f"/markets/{n['ticker']}/orderbook", {"depth": 3}
    yield "/markets/orderbooks", "/markets/orderbooks", {"tickers": [n["ticker"], n["combo"], "NONE"]}
    yield "/markets/trades", "/markets/trades", {"ticker": n["ticker"], "limit": 5}
    candles = f"/series/{n['series']}/markets/{n['ticker']}/candlesticks"
    template = "/series/{series_ticker}/markets/{ticker}/candlesticks"
    yield template, candles, hours | {"include_latest_before_start": "true"}
    yield "/markets/candlesticks", "/markets/candlesticks", hours | {"market_tickers": n["ticker"]}
    of_event = f"/series/{n['series']}/events/{n['event']}/candlesticks"
    yield "/series/{series_ticker}/events/{ticker}/candlesticks", of_event, hours
    of_combo = f"/series/KXMVECROSSCATEGORY/events/{combo_event}/candlesticks"
    yield "/series/{series_ticker}/events/{ticker}/candlesticks", of_combo, hours
    yield "/historical/markets/{ticker}", f"/historical/markets/{n['archived']}", {}
    old = f"/historical/markets/{n['archived']}/candlesticks"
    yield "/historical/markets/{ticker}/candlesticks", old, ever
    yield "/milestones", "/milestones", {"limit": 20}
    yield (
        "/multivariate_event_collections/{collection_ticker}",
        "/multivariate_event_collections/KXMVECROSSCATEGORY-R",
        {},
    )


def test_every_answer_matches_the_specification(spec, living, member):
    time.sleep(0.5)
    seen = set()
    more = []
    for template, path, query in itertools.chain(calls(living), more):
        answer = ask(living, member, path, **query)
        assert answer.status_code == 200, (path, answer.text[:300])
        schema = spec["paths"][template]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        violations = sorted(validator(spec, schema).iter_errors(answer.json()), key=str)
        assert not violations, (path, query, violations[0].json_path, violations[0].message[:300])
        seen.add(template)
        body = answer.json()
        if template == "/milestones" and body["milestones"]:
            one = body["milestones"][0]
            number, game = one["id"], one["primary_event_tickers"][0]
            more.append(("/milestones/{milestone_id}", f"/milestones/{number}", {}))
            more.append(("/live_data/batch", "/live_data/batch", {"milestone_ids": [number]}))
            more.append(("/live_data/milestone/{milestone_id}", f"/live_data/milestone/{number}", {}))
            typed = "/live_data/{type}/milestone/{milestone_id}"
            more.append((typed, f"/live_data/football_game/milestone/{number}", {}))
            more.append(("/live_data/events/{event_ticker}", f"/live_data/events/{game}", {}))
        if template == "/structured_targets" and path == template:
            one = body["structured_targets"][0]["id"]
            more.append(("/structured_targets/{structured_target_id}", f"/structured_targets/{one}", {}))
        if not query and template not in ("/account/limits", "/account/endpoint_costs"):
            assert all(value for value in body.values() if isinstance(value, list)), (
                path,
                "an empty list proves nothing",
            )
    assert {"/milestones/{milestone_id}", "/structured_targets/{structured_target_id}"} <= seen
    assert len(seen) >= 35


@pytest.mark.parametrize(("path", "status", "text", "instead"), EXCEPTIONS)
def test_recordings_take_precedence_over_the_specification(living, path, status, text, instead):
    answer = requests.get(living.url + path, timeout=20)
    assert (answer.status_code, text in answer.text) == (status, True), (answer.text[:200], instead)


def test_books_list_the_best_bid_last_although_the_specification_says_otherwise(living):
    ticker = examples(living)["ticker"]
    book = requests.get(f"{living.url}/markets/{ticker}/orderbook", timeout=20).json()["orderbook_fp"]
    for levels in book.values():
        assert [price for price, _ in levels] == sorted(price for price, _ in levels)


PAYLOADS = {
    "subscribed": "subscribedResponsePayload", "unsubscribed": "unsubscribedResponsePayload",
    "ok": "okResponsePayload", "error": "errorResponsePayload", "ticker": "tickerPayload", "trade": "tradePayload",
    "orderbook_snapshot": "orderbookSnapshotPayload", "orderbook_delta": "orderbookDeltaPayload",
    "market_lifecycle_v2": "marketLifecycleV2Payload",
}  # fmt: skip


def test_every_message_of_the_feed_matches_the_specification(feed_spec, living, member):
    tickers = [t for t, s in zip(living.world.columns.ticker, living.world.columns.status, strict=True) if s == 1][:300]
    messages = asyncio.run(
        feed(
            living,
            member,
            subscribe("ticker", "trade", "market_lifecycle_v2"),
            subscribe("orderbook_delta", market_tickers=tickers),
            {
                "cmd": "update_subscription",
                "params": {"sid": 4, "action": "delete_markets", "market_tickers": tickers[:9]},
            },
            {
                "cmd": "update_subscription",
                "params": {"sids": [4], "action": "get_snapshot", "market_ticker": tickers[20]},
            },
            {"cmd": "unsubscribe", "params": {"sids": [2]}},
            {"cmd": "dance"},
            seconds=3,
        )
    )
    shapes = {kind: validator(feed_spec, feed_spec["components"]["schemas"][name]) for kind, name in PAYLOADS.items()}
    for message in messages:
        violations = list(shapes[message["type"]].iter_errors(message))
        assert not violations, (message, violations[0].message)
    assert {message["type"] for message in messages} >= set(PAYLOADS) - {"market_lifecycle_v2", "trade"}
    numbers = {}
    for message in messages:
        if "seq" in message:
            numbers.setdefault(message["sid"], []).append(message["seq"])
    assert all(seqs == list(range(1, len(seqs) + 1)) for seqs in numbers.values())


def poll(url, done):
    while not done.is_set():
        requests.get(url, timeout=20)


def rebuilt(messages):
    """Rebuild the books from the snapshots and deltas."""
    books = {}
    for message in messages:
        body = message["msg"] if message["type"].startswith("orderbook") else {}
        if message["type"] == "orderbook_snapshot":
            books[body["market_ticker"]] = {side: dict(body.get(f"{side}_dollars_fp", [])) for side in ("yes", "no")}
        elif message["type"] == "orderbook_delta":
            side = books[body["market_ticker"]][body["side"]]
            left = float(side.pop(body["price_dollars"], "0")) + float(body["delta_fp"])
            assert left >= -1e-9
            if left > 1e-9:
                side[body["price_dollars"]] = f"{left:.2f}"
    return books


def test_snapshots_and_deltas_rebuild_the_books_of_the_exchange(living, member):
    columns = living.world.columns
    tickers = [t for t, s in zip(columns.ticker, columns.status, strict=True) if s == 1][300:500]
    speed = living.world.speed

    def stop():
        living.world.speed = 0.0

    # Other clients send requests meanwhile; the changes that they trigger must reach the feed exactly once.
    others, done = [], threading.Event()
    for _ in range(2):
        others.append(threading.Thread(target=poll, args=(f"{living.url}/markets?limit=1", done)))
        others[-1].start()
    parts = [subscribe("orderbook_delta", market_tickers=tickers[i : i + 20]) for i in range(0, len(tickers), 20)]
    messages = asyncio.run(feed(living, member, *parts, seconds=3, then=stop))
    done.set()
    for thread in others:
        thread.join()
    books = rebuilt(messages)
    assert sum(message["type"] == "orderbook_delta" for message in messages) > 100
    # A market that has closed keeps its levels in the feed until an empty snapshot comes.
    row_of = living.world.row
    tickers = [ticker for ticker in tickers if columns.status[row_of[ticker]] == 1]
    for first in range(0, len(tickers), 100):
        some = tickers[first : first + 100]
        answer = requests.get(f"{living.url}/markets/orderbooks", params={"tickers": some}, timeout=20).json()
        for book in answer["orderbooks"]:
            shown = {side: dict(book["orderbook_fp"][f"{side}_dollars"]) for side in ("yes", "no")}
            assert books[book["ticker"]] == shown
    living.world.speed = speed


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("{", 1),
        ("[]", 1),
        ({"cmd": "subscribe"}, 2),
        ({"cmd": "subscribe", "params": {}}, 3),
        ({"cmd": "unsubscribe", "params": {}}, 4),
        ({"cmd": "unsubscribe", "params": {"sids": [9]}}, 7),
        (subscribe("gossip"), 8),
        (subscribe("ticker", market_ticker="A", market_tickers=["B"]), 11),
        (subscribe("orderbook_delta"), 14),
        ({"cmd": "update_subscription", "params": {"action": "add_markets"}}, 12),
    ],
)
def test_a_wrong_command_is_answered_with_its_error_code(living, member, command, code):
    (answer,) = asyncio.run(feed(living, member, command, seconds=20, count=1))
    assert (answer["type"], answer["msg"]["code"]) == ("error", code)


def test_a_sequence_gap_and_a_dropped_socket_can_be_produced(rsa_pem, member):
    public = serialization.load_pem_private_key(rsa_pem.encode(), None).public_key()
    world = World(300, moves=120, speed=60, seed=2)
    with Exchange(
        catalog=WorldCatalog(world), keys=[Key("k", public)], faults=[Fault("sequence-gap", 0.2)]
    ) as exchange:
        tickers = world.columns.ticker[:200]
        messages = asyncio.run(
            feed(exchange, member, subscribe("orderbook_delta", market_tickers=tickers), seconds=1.5)
        )
        seqs = [message["seq"] for message in messages if "seq" in message]
        assert seqs == sorted(seqs)
        assert len(seqs) < seqs[-1]
        exchange.faults.set(Fault("socket-drop", 0.05))
        messages = asyncio.run(feed(exchange, member, subscribe("ticker"), seconds=5))
        assert messages[-1] == {"type": "closed"}


@pytest.mark.parametrize(
    "path",
    [
        "/markets?cursor=" + base64.urlsafe_b64encode(b'[1e999,"a"]').decode(),
        "/events?cursor=" + base64.urlsafe_b64encode(b'[Infinity,"a"]').decode(),
        "/markets?cursor=" + base64.urlsafe_b64encode(b"[" * 5_000).decode(),
        "/markets/trades?cursor=%C2%B2",
        "/markets/trades?cursor=" + "9" * 300,
    ],
)
def test_an_invalid_cursor_is_a_400(living, path):
    assert requests.get(living.url + path, timeout=20).status_code == 400


@pytest.mark.parametrize(
    "command",
    [
        {"cmd": "update_subscription", "params": {"sid": [1], "action": "add_markets", "market_ticker": "A"}},
        {"cmd": "unsubscribe", "params": {"sids": [[1]]}},
        {"cmd": "unsubscribe", "params": {"sids": [True]}},
        subscribe("orderbook_delta", market_tickers=[5, None]),
        subscribe("ticker", market_ticker={"a": 1}),
        "[" * 20_000,
    ],
)
def test_a_malformed_command_is_answered_and_the_feed_continues(living, member, command):
    answers = asyncio.run(feed(living, member, command, {"cmd": "list_subscriptions"}, seconds=20, count=2))
    assert [answer["type"] for answer in answers] == ["error", "ok"]


def test_events_are_neither_repeated_nor_skipped_while_others_come_and_go():
    clock = [0.0]
    world = World(1_500, arrivals=600, moves=1, speed=3_600, past=200, seed=4, clock=lambda: clock[0])
    with Exchange(catalog=WorldCatalog(world)) as exchange:
        seen, cursor = [], ""
        while True:
            page = requests.get(f"{exchange.url}/events?status=open&limit=20&cursor={cursor}", timeout=20).json()
            seen += [event["event_ticker"] for event in page["events"]]
            cursor, clock[0] = page["cursor"], clock[0] + 0.05
            if not cursor:
                break
        last = requests.get(f"{exchange.url}/events?status=open&limit=200", timeout=20).json()["events"]
    assert len(seen) == len(set(seen)) > 60
    early = {event["event_ticker"] for event in last} & {state.ticker for state in world.events}
    created = {e.ticker: world.columns.created_us[e.rows[-1]] for e in world.events}
    began = world.now.timestamp() * 1e6
    assert not {ticker for ticker in early if created[ticker] < began} - set(seen)


def test_a_combo_is_found_by_its_event_and_its_series(living):
    combo = examples(living)["combo"]
    event = combo.rpartition("-")[0]
    by_event = requests.get(f"{living.url}/markets?event_ticker={event}", timeout=20).json()["markets"]
    assert [market["ticker"] for market in by_event] == [combo]
    assert requests.get(f"{living.url}/events/{event}", timeout=20).json()["event"]["event_ticker"] == event
    of_series = requests.get(f"{living.url}/markets?series_ticker=KXMVECROSSCATEGORY", timeout=20).json()["markets"]
    assert len(of_series) > 10


def test_a_trailing_slash_redirects_to_the_path_without(living):
    answer = requests.get(f"{living.url}/markets/", timeout=20, allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (301, "/trade-api/v2/markets")


def test_a_carried_forward_candle_is_quick_and_has_no_trade(living):
    n, now = examples(living), living.world.now_us // 1_000_000
    query = {"start_ts": now - 59, "end_ts": now, "period_interval": 1, "include_latest_before_start": "true"}
    path = f"{living.url}/series/{n['series']}/markets/{n['ticker']}/candlesticks"
    first = requests.get(path, params=query, timeout=5).json()["candlesticks"][0]
    assert first["volume_fp"] == "0.00"
    assert set(first["price"]) <= {"previous_dollars"}


def test_every_path_answers_for_a_recording(shared):
    with Exchange(replay=shared / "kalshi_markets_raw_2026-07-10") as exchange:
        ticker = exchange.backend.catalog.tickers[0]
        for path in app.PUBLIC:
            asked = re.sub(r"\{\w+\}", ticker, path)
            answer = requests.get(
                f"{exchange.url}{asked}?limit=5&start_ts=1&end_ts=90000&period_interval=60", timeout=20
            )
            assert answer.status_code < 500, path


def test_a_combo_event_has_metadata_and_candles(living):
    combo = examples(living)["combo"]
    event = combo.rpartition("-")[0]
    metadata = requests.get(f"{living.url}/events/{event}/metadata", timeout=20).json()
    assert [detail["market_ticker"] for detail in metadata["market_details"]] == [combo]
    now = living.world.now_us // 1_000_000
    query = {"start_ts": now - 3_600, "end_ts": now, "period_interval": 60}
    path = f"{living.url}/series/KXMVECROSSCATEGORY/events/{event}/candlesticks"
    assert requests.get(path, params=query, timeout=20).json()["market_tickers"] == [combo]


def test_subaccounts_start_with_the_primary_account(living, member):
    balances = ask(living, member, "/portfolio/subaccounts/balances").json()["subaccount_balances"]
    assert [balance["subaccount_number"] for balance in balances] == [0, 1]
    assert balances[0]["balance"] == ask(living, member, "/portfolio/balance").json()["balance_dollars"]


def test_the_cut_off_of_orders_moves_on_its_own(living):
    cutoffs = requests.get(f"{living.url}/historical/cutoff", timeout=20).json()
    assert cutoffs["orders_updated_ts"] > cutoffs["market_settled_ts"] == cutoffs["trades_created_ts"]


def test_an_exchange_reports_the_limits_that_it_applies(rsa_pem, member):
    public = serialization.load_pem_private_key(rsa_pem.encode(), None).public_key()
    for exchange_tier, key_tier, rate in ((None, None, 1_000_000), (None, "advanced", 300), ("basic", "expert", 200)):
        with Exchange(markets=50, tier=exchange_tier, keys=[Key("k", public, tier=key_tier)]) as exchange:
            assert ask(exchange, member, "/account/limits").json()["read"]["refill_rate"] == rate
