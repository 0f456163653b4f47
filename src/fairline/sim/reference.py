"""What surrounds the markets: hours, metadata, the combos' events, milestones, targets, the lists of the search."""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from aiohttp import web

from fairline.sim import listing
from fairline.sim.auth import Key
from fairline.sim.catalog import EventEntry
from fairline.sim.families import COMBO, GRIDS
from fairline.sim.listing import BadRequest
from fairline.sim.render import time_text
from fairline.sim.reply import BAD_REQUEST, NOT_FOUND, Backend, Reply
from fairline.sim.world import World

Object = dict[str, object]
_COLLECTION = f"{COMBO.series}-R"
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_LEAD_US = 4 * 3_600_000_000
"""How long before an event's markets close its game begins: three hours before its answer is expected."""


def schedule(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Open around the clock, but for the weekly window on Thursday from three to five, Eastern Time."""
    whole, thursday = [("00:00", "23:59")], [("00:00", "03:00"), ("05:00", "23:59")]
    hours = {
        day: [{"open_time": a, "close_time": b} for a, b in (thursday if day == "thursday" else whole)] for day in _DAYS
    }
    year = 366 * 86_400_000_000
    limits = {"start_time": time_text(backend.now_us - year), "end_time": time_text(backend.now_us + year)}
    return Reply(200, {"schedule": {"standard_hours": [limits | hours], "maintenance_windows": []}})


def user_data_timestamp(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    return Reply(200, {"as_of_time": time_text(backend.now_us)})


def event_metadata(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    event = backend.index.event.get(request.match_info["ticker"])
    if event is None:
        return NOT_FOUND
    tickers = [backend.catalog.tickers[row] for row in event.rows if not backend.catalog.archived[row]]
    details = [
        {"market_ticker": ticker, "image_url": "https://example.com/market.png", "color_code": "#0A7B5C"}
        for ticker in tickers
    ]
    body = {
        "image_url": "https://example.com/event.png",
        "settlement_sources": event.fields.get("settlement_sources") or [],
        "market_details": details,
    }
    return Reply(200, body)


def multivariate_events(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """The events of the combos, each of which has one of its own."""
    query, catalog = request.query, backend.catalog
    limit = listing.whole(query, "limit", 100, 200, 1)
    if query.get("series_ticker") and query.get("collection_ticker"):
        return BAD_REQUEST
    first, names = catalog.refresh(), set(filter(None, query.get("tickers", "").split(",")))
    other = query.get("series_ticker") not in (None, "", COMBO.series)
    other = other or query.get("collection_ticker") not in (None, "", _COLLECTION)
    rows = [] if other else [row for row in catalog.combos.nonzero()[0].tolist() if row >= first]
    found = [row for row in rows if not names or catalog.tickers[row].rpartition("-")[0] in names]
    places, cursor = listing.offset_page(len(found), query.get("cursor", ""), limit)
    nested = query.get("with_nested_markets") == "true"
    events = [combo_event(backend, found[place], nested=nested) for place in places]
    return Reply(200, {"events": events, "cursor": cursor})


def combo_event(backend: Backend, row: int, *, nested: bool) -> Object:
    market = json.loads(backend.catalog.market(row))
    event: Object = {
        "event_ticker": market["event_ticker"],
        "series_ticker": COMBO.series,
        "title": market["title"],
        "sub_title": "",
        "category": COMBO.category,
        "collateral_return_type": "",
        "mutually_exclusive": False,
        "settlement_sources": [],
    }
    return event | {"markets": [market]} if nested else event


def collections(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    query = request.query
    listing.whole(query, "limit", 100, 200, 1)
    if query.get("status") not in (None, "", "unopened", "open", "closed"):
        return BAD_REQUEST
    made = _collection(backend)
    named, associated = query.get("associated_event_ticker"), made["associated_event_tickers"]
    wrong = query.get("status") in ("unopened", "closed") or query.get("series_ticker") not in (None, "", COMBO.series)
    wrong = wrong or bool(named and isinstance(associated, list) and named not in associated)
    return Reply(200, {"multivariate_contracts": [] if wrong else [made], "cursor": ""})


def one_collection(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    if request.match_info["ticker"] != _COLLECTION:
        return NOT_FOUND
    return Reply(200, {"multivariate_contract": _collection(backend)})


def _collection(backend: Backend) -> Object:
    events = [event for event in backend.catalog.events if not backend.catalog.archived[event.rows[0]]][:200]
    ranges = [{"start": a, "end": b, "step": step} for a, b, step in GRIDS[COMBO.grid]]
    return {
        "collection_ticker": _COLLECTION,
        "series_ticker": COMBO.series,
        "title": "Combos",
        "description": "Any of these together",
        "open_date": time_text(backend.now_us - 86_400_000_000 * 365),
        "close_date": time_text(backend.now_us + 86_400_000_000 * 365),
        "associated_events": [{"ticker": e.ticker, "is_yes_only": True, "active_quoters": []} for e in events],
        "associated_event_tickers": [e.ticker for e in events],
        "is_ordered": False,
        "is_single_market_per_event": True,
        "is_all_yes": True,
        "size_min": 2,
        "size_max": 6,
        "functional_description": "pays if every leg does",
        "price_level_structure": COMBO.grid,
        "price_ranges": ranges,
    }


def milestones(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """The games. The limit is required here."""
    query = request.query
    if not query.get("limit"):
        raise BadRequest("Query argument limit is required, but not found")
    limit = listing.whole(query, "limit", 100, 500, 1)
    since = query.get("minimum_start_date", "")
    low = _instant(since) if since else 0
    wanted = {name: query.get(name) for name in ("category", "competition", "type", "source_id") if query.get(name)}
    made = {
        place: milestone_object(backend, game) for place, game in _games(backend, query.get("related_event_ticker"))
    }
    places = [
        place
        for place, each in made.items()
        if _instant(str(each["start_date"])) >= low
        and all(each.get(name, "") == value for name, value in wanted.items())
    ]
    places, cursor = listing.place_page(places, query.get("cursor", ""), limit)
    return Reply(200, {"milestones": [made[place] for place in places], "cursor": cursor})


def milestones_of(backend: Backend, events: Iterable[EventEntry]) -> list[Object]:
    """The milestones of those events that are games."""
    if backend.world is None:
        return []
    place = backend.index.place
    return [milestone_object(backend, event) for event in events if _is_game(backend.world, place[event.ticker])]


def _is_game(world: World, place: int) -> bool:
    """The last event of a world may be cut off in the middle."""
    event = world.events[place]
    return event.kind == "game" and len(event.rows) > 1


def one_milestone(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    for _, game in _games(backend, None):
        made = milestone_object(backend, game)
        if made["id"] == request.match_info["id"]:
            return Reply(200, {"milestone": made})
    return NOT_FOUND


def _games(backend: Backend, ticker: str | None) -> Iterator[tuple[int, EventEntry]]:
    """Events with a winner among two or three and where they stand, as far as the catalog knows what its events are."""
    if backend.world is None:
        return
    first, events = backend.catalog.refresh(), backend.catalog.events
    places = [backend.index.place[ticker]] if ticker in backend.index.place else range(0 if ticker else len(events))
    for place in places:
        if _is_game(backend.world, place) and events[place].rows[-1] >= first:
            yield place, events[place]


def milestone_object(backend: Backend, game: EventEntry) -> Object:
    name, close_us = backend.index.sport[game.series], int(backend.catalog.close_us[game.rows[0]])
    first, second = (target_id(backend, row) for row in sorted(game.rows, reverse=True)[:2])
    # Of soccer the team named first is at home, of other sports the second.
    home, away = (first, second) if name == "soccer" else (second, first)
    if name == "tennis":
        details = {"first_competitor_id": first, "second_competitor_id": second}
    else:
        details = {"home_team_id": home, "away_team_id": away}
    return {
        "id": event_id(game),
        "category": "Sports",
        "type": f"{name}_tournament" if name == "tennis" else f"{name}_game",
        "start_date": time_text(close_us - _LEAD_US),
        "end_date": time_text(close_us),
        "related_event_tickers": [game.ticker],
        "primary_event_tickers": [game.ticker],
        "title": str(game.fields.get("title", "")),
        "notification_message": "",
        "source_ids": {},
        "details": {**details, "status": "scheduled"},
        "last_updated_ts": time_text(close_us - 86_400_000_000),
    }


def live_data(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """What is known of a game as it goes on: nothing but that it is scheduled."""
    for _, game in _games(backend, None):
        if event_id(game) == request.match_info["id"]:
            return Reply(200, {"live_data": _live(backend, game)})
    return NOT_FOUND


def live_datas(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    wanted = request.query.getall("milestone_ids", [])
    if not 1 <= len(wanted) <= 100:
        return BAD_REQUEST
    found = [_live(backend, game) for _, game in _games(backend, None) if event_id(game) in wanted]
    return Reply(200, {"live_datas": found})


def event_live_data(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    for _, game in _games(backend, request.match_info["ticker"]):
        live = _live(backend, game)
        return Reply(200, {"live_data": {"type": live["type"], "details": live["details"]}})
    return NOT_FOUND


def _live(backend: Backend, game: EventEntry) -> Object:
    made = milestone_object(backend, game)
    return {"type": made["type"], "details": {"status": "scheduled"}, "milestone_id": made["id"]}


def event_id(event: EventEntry) -> str:
    return f"00000000-0000-4000-9000-{event.rows[0]:012x}"


def target_id(backend: Backend, row: int) -> str:
    """As it stands in the market's `custom_strike`."""
    return f"{int(backend.catalog.event_of[row]):08x}-0000-4000-8000-{row:012x}"


def structured_targets(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Whoever takes part in an event with a winner. The parameter is `page_size` here."""
    query = request.query
    limit = listing.whole(query, "page_size", 100, 2000, 1)
    ids = query.getall("ids", [])
    if len(ids) > 2000:
        return BAD_REQUEST
    kind = query.get("type")
    rows = [row for row in _entrants(backend) if not ids or target_id(backend, row) in ids]
    made = [each for each in (_target(backend, row) for row in rows) if not kind or each["type"] == kind]
    if query.get("competition"):
        made = []
    places, cursor = listing.offset_page(len(made), query.get("cursor", ""), limit)
    return Reply(200, {"structured_targets": [made[place] for place in places], "cursor": cursor})


def one_target(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    wanted = request.match_info["id"]
    for row in _entrants(backend):
        if target_id(backend, row) == wanted:
            return Reply(200, {"structured_target": _target(backend, row)})
    return NOT_FOUND


def _entrants(backend: Backend) -> list[int]:
    if backend.world is None:
        return []
    first, strike = backend.catalog.refresh(), backend.world.columns.strike
    return [row for row in range(first, len(strike)) if strike[row] == "structured"]


def _target(backend: Backend, row: int) -> Object:
    world = backend.world
    name = world.columns.label[row] if world is not None else ""
    kind = world.events[world.columns.event[row]].kind if world is not None else ""
    return {
        "id": target_id(backend, row),
        "name": name,
        "type": "sports_team" if kind == "game" else "competitor",
        "details": {"short_name": name[:3].upper()},
        "source_ids": {},
        "last_updated_ts": time_text(int(backend.catalog.created_us[row])),
    }


def tags_by_categories(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    found: dict[str, set[str]] = {}
    for series in backend.catalog.series:
        tags = series.get("tags")
        found.setdefault(str(series.get("category")), set()).update(tags if isinstance(tags, list) else ())
    return Reply(200, {"tags_by_categories": {name: sorted(tags) for name, tags in sorted(found.items())}})


def filters_by_sport(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    sports = sorted({tag for series in backend.catalog.series for tag in _sport_tags(series)})
    scopes = ["Games", "Props", "Futures"]
    filters = {sport: {"scopes": scopes, "competitions": {f"Pro {sport}": {"scopes": scopes}}} for sport in sports}
    return Reply(200, {"filters_by_sports": filters, "sport_ordering": sports})


def _sport_tags(series: Mapping[str, object]) -> list[str]:
    tags = series.get("tags")
    return [str(tag) for tag in tags] if series.get("category") == "Sports" and isinstance(tags, list) else []


def _instant(text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise BadRequest("Invalid format for parameter minimum_start_date: error binding string parameter") from None
