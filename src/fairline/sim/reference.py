"""Reference data around the markets: hours, metadata, combo events, milestones, targets, search lists."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from aiohttp import web

from fairline.sim import listing
from fairline.sim.auth import Key
from fairline.sim.catalog import EventEntry
from fairline.sim.families import COMBO, GRIDS
from fairline.sim.listing import BadRequest
from fairline.sim.render import target_id, time_text
from fairline.sim.reply import BAD_REQUEST, NOT_FOUND, Backend, Reply
from fairline.sim.world import World

Object = dict[str, object]
_COLLECTION = f"{COMBO.series}-R"
_COMBO_SOURCES = [{"name": "The legs of the combo", "url": "https://example.com"}]
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_TARGET_TYPES = {"game": "sports_team", "spread": "sports_team", "props": "sports_player"}
_LEAD_US = 4 * 3_600_000_000
"""Time from the start of a game to the end of trading: the outcome is expected three hours after the start."""


def schedule(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return the hours: always open except for the weekly maintenance on Thursday, 03:00-05:00 Eastern Time."""
    whole = [("00:00", "23:59")]
    thursday = [("00:00", "03:00"), ("05:00", "23:59")]
    hours = {
        day: [{"open_time": a, "close_time": b} for a, b in (thursday if day == "thursday" else whole)] for day in _DAYS
    }
    year = 366 * 86_400_000_000
    limits = {"start_time": time_text(backend.now_us - year), "end_time": time_text(backend.now_us + year)}
    return Reply(200, {"schedule": {"standard_hours": [limits | hours], "maintenance_windows": []}})


def user_data_timestamp(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return how fresh account data is: always up to date."""
    return Reply(200, {"as_of_time": time_text(backend.now_us)})


def event_metadata(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return images and settlement sources of an event, combo events included."""
    ticker = request.match_info["ticker"]
    event = backend.index.event.get(ticker)
    rows = rows_of_event(backend, ticker)
    if rows is None:
        return NOT_FOUND
    tickers = [backend.catalog.tickers[row] for row in rows if not backend.catalog.archived[row]]
    details = [
        {"market_ticker": ticker, "image_url": "https://example.com/market.png", "color_code": "#0A7B5C"}
        for ticker in tickers
    ]
    body = {
        "image_url": "https://example.com/event.png",
        "settlement_sources": event.fields.get("settlement_sources") or [] if event is not None else _COMBO_SOURCES,
        "market_details": details,
    }
    return Reply(200, body)


def rows_of_event(backend: Backend, ticker: str) -> list[int] | None:
    """Return the rows of an event, which may be that of a combo; None for an unknown one."""
    event = backend.index.event.get(ticker)
    if event is not None:
        return event.rows
    combo = listed_combo(backend, ticker)
    return None if combo is None else [combo]


def listed_combo(backend: Backend, event_ticker: str) -> int | None:
    """Return the row of the combo of an event, None if there is none or it is not listed yet."""
    row = backend.index.combo_of.get(event_ticker)
    return row if row is not None and row >= backend.catalog.refresh() else None


def multivariate_events(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return a page of combo events; each combo has an event of its own."""
    query = request.query
    limit = listing.parse_int(query, "limit", 100, 200, 1)
    if query.get("series_ticker") and query.get("collection_ticker"):
        return BAD_REQUEST
    rows = _matching_combos(backend, query)
    places, cursor = listing.offset_page(len(rows), query.get("cursor", ""), limit)
    nested = query.get("with_nested_markets") == "true"
    events = [combo_event(backend, rows[place], nested=nested) for place in places]
    return Reply(200, {"events": events, "cursor": cursor})


def _matching_combos(backend: Backend, query: Mapping[str, str]) -> list[int]:
    if query.get("series_ticker") not in (None, "", COMBO.series):
        return []
    if query.get("collection_ticker") not in (None, "", _COLLECTION):
        return []
    catalog = backend.catalog
    first = catalog.refresh()
    names = set(filter(None, query.get("tickers", "").split(",")))
    listed = [row for row in catalog.combos.nonzero()[0].tolist() if row >= first]
    return [row for row in listed if not names or catalog.tickers[row].rpartition("-")[0] in names]


def combo_event(backend: Backend, row: int, *, nested: bool) -> Object:
    """Return the event of a combo."""
    market = json.loads(backend.catalog.market(row))
    event: Object = {
        "event_ticker": market["event_ticker"],
        "series_ticker": COMBO.series,
        "title": market["title"],
        "sub_title": "",
        "category": COMBO.category,
        "collateral_return_type": "",
        "mutually_exclusive": False,
        "settlement_sources": _COMBO_SOURCES,
    }
    return event | {"markets": [market]} if nested else event


def collections(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return the only collection of combos, if the query selects it."""
    query = request.query
    listing.parse_int(query, "limit", 100, 200, 1)
    if query.get("status") not in (None, "", "unopened", "open", "closed"):
        return BAD_REQUEST
    collection = _collection(backend)
    event = query.get("associated_event_ticker")
    associated = collection["associated_event_tickers"]
    selected = query.get("status") not in ("unopened", "closed")
    selected &= query.get("series_ticker") in (None, "", COMBO.series)
    selected &= not event or (isinstance(associated, list) and event in associated)
    return Reply(200, {"multivariate_contracts": [collection] if selected else [], "cursor": ""})


def one_collection(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return one collection of combos."""
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
    """Return a page of games. This endpoint requires a limit."""
    query = request.query
    if not query.get("limit"):
        raise BadRequest("Query argument limit is required, but not found")
    limit = listing.parse_int(query, "limit", 100, 500, 1)
    since = query.get("minimum_start_date", "")
    earliest = _instant(since) if since else 0
    wanted = {name: query[name] for name in ("category", "competition", "type", "source_id") if query.get(name)}

    def matches(milestone: Object) -> bool:
        in_time = _instant(str(milestone["start_date"])) >= earliest
        return in_time and all(milestone.get(name, "") == value for name, value in wanted.items())

    games = _games(backend, query.get("related_event_ticker"))
    all_milestones = {place: milestone_object(backend, game) for place, game in games}
    places = [place for place, milestone in all_milestones.items() if matches(milestone)]
    places, cursor = listing.place_page(places, query.get("cursor", ""), limit)
    return Reply(200, {"milestones": [all_milestones[place] for place in places], "cursor": cursor})


def milestones_of(backend: Backend, events: Iterable[EventEntry]) -> list[Object]:
    """Return the milestones of the events that are games."""
    if backend.world is None:
        return []
    place = backend.index.place
    return [milestone_object(backend, event) for event in events if _is_game(backend.world, place[event.ticker])]


def _is_game(world: World, place: int) -> bool:
    """Return whether an event is a complete game: the last event of a world may have lost a market."""
    event = world.events[place]
    return event.kind == "game" and len(event.rows) > 1


def one_milestone(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return one game."""
    for _, game in _games(backend, None):
        milestone = milestone_object(backend, game)
        if milestone["id"] == request.match_info["id"]:
            return Reply(200, {"milestone": milestone})
    return NOT_FOUND


def _games(backend: Backend, ticker: str | None) -> Iterator[tuple[int, EventEntry]]:
    """Yield games with their places in the catalog, one of them if a ticker is given. A recording yields none."""
    if backend.world is None:
        return
    first = backend.catalog.refresh()
    events = backend.catalog.events
    if ticker:
        places: Iterable[int] = [backend.index.place[ticker]] if ticker in backend.index.place else []
    else:
        places = range(len(events))
    for place in places:
        if _is_game(backend.world, place) and events[place].rows[-1] >= first:
            yield place, events[place]


def milestone_object(backend: Backend, game: EventEntry) -> Object:
    """Return the milestone of a game: when it is played, and by which teams."""
    name = backend.index.sport[game.series]
    ends_us = _ends_us(backend, game)
    first, second = (_target_id(backend, row) for row in sorted(game.rows, reverse=True)[:2])
    # In soccer the home team is named first, in other sports second.
    home, away = (first, second) if name == "soccer" else (second, first)
    if name == "tennis":
        details = {"first_competitor_id": first, "second_competitor_id": second}
    else:
        details = {"home_team_id": home, "away_team_id": away}
    return {
        "id": event_id(game),
        "category": "Sports",
        "type": f"{name}_tournament" if name == "tennis" else f"{name}_game",
        "start_date": time_text(ends_us - _LEAD_US),
        "end_date": time_text(ends_us),
        "related_event_tickers": [game.ticker],
        "primary_event_tickers": [game.ticker],
        "title": str(game.fields.get("title", "")),
        "notification_message": "",
        "source_ids": {},
        "details": {**details, "status": "scheduled"},
        "last_updated_ts": time_text(ends_us - 86_400_000_000),
    }


def live_data(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return the live data of a game, which only says that it is scheduled."""
    for _, game in _games(backend, None):
        if event_id(game) == request.match_info["id"]:
            return Reply(200, {"live_data": _live(backend, game)})
    return NOT_FOUND


def live_datas(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return the live data of up to 100 games."""
    wanted = request.query.getall("milestone_ids", [])
    if not 1 <= len(wanted) <= 100:
        return BAD_REQUEST
    games = [game for _, game in _games(backend, None) if event_id(game) in wanted]
    return Reply(200, {"live_datas": [_live(backend, game) for game in games]})


def event_live_data(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return the live data of an event that is a game."""
    for _, game in _games(backend, request.match_info["ticker"]):
        live = _live(backend, game)
        return Reply(200, {"live_data": {"type": live["type"], "details": live["details"]}})
    return NOT_FOUND


def _live(backend: Backend, game: EventEntry) -> Object:
    milestone = milestone_object(backend, game)
    return {"type": milestone["type"], "details": {"status": "scheduled"}, "milestone_id": milestone["id"]}


def _ends_us(backend: Backend, game: EventEntry) -> int:
    """Return when trading in a game ends, which is not the close time that its markets show."""
    row = game.rows[0]
    return int(backend.catalog.close_us[row] if backend.world is None else backend.world.columns.ends_us[row])


def event_id(event: EventEntry) -> str:
    """Return the milestone id of an event."""
    return f"00000000-0000-4000-9000-{event.rows[0]:012x}"


def _target_id(backend: Backend, row: int) -> str:
    return target_id(backend.world.columns, row) if backend.world is not None else ""


def structured_targets(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return a page of entrants, teams and players. This endpoint calls its limit `page_size`."""
    query = request.query
    limit = listing.parse_int(query, "page_size", 100, 2000, 1)
    ids = query.getall("ids", [])
    if len(ids) > 2000:
        return BAD_REQUEST
    kind = query.get("type")
    entrants = [] if query.get("competition") else _entrants(backend)
    rows = [row for row in entrants if not ids or _target_id(backend, row) in ids]
    targets = [target for target in (_target(backend, row) for row in rows) if not kind or target["type"] == kind]
    places, cursor = listing.offset_page(len(targets), query.get("cursor", ""), limit)
    return Reply(200, {"structured_targets": [targets[place] for place in places], "cursor": cursor})


def one_target(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return one entrant, team or player."""
    wanted = request.match_info["id"]
    for row in _entrants(backend):
        if _target_id(backend, row) == wanted:
            return Reply(200, {"structured_target": _target(backend, row)})
    return NOT_FOUND


def _entrants(backend: Backend) -> list[int]:
    """Return a row for each structured target: of several markets about one team or player, the first."""
    if backend.world is None:
        return []
    columns = backend.world.columns
    rows: dict[tuple[int, int], int] = {}
    for row in range(backend.catalog.refresh(), len(columns.strike)):
        subject = columns.subject.item(row)
        if columns.strike[row] == "structured" or subject >= 0:
            rows.setdefault((columns.event.item(row), -row if subject < 0 else subject), row)
    return list(rows.values())


def _target(backend: Backend, row: int) -> Object:
    world = backend.world
    label = world.columns.label[row] if world is not None else ""
    kind = world.events[world.columns.event[row]].kind if world is not None else ""
    name = re.split(r" wins by over |: over ", label)[0]
    return {
        "id": _target_id(backend, row),
        "name": name,
        "type": _TARGET_TYPES.get(kind, "competitor"),
        "details": {"short_name": name[:3].upper()},
        "source_ids": {},
        "last_updated_ts": time_text(int(backend.catalog.created_us[row])),
    }


def tags_by_categories(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return the tags of the series in each category."""
    by_category: dict[str, set[str]] = {}
    for series in backend.catalog.series:
        tags = series.get("tags")
        by_category.setdefault(str(series.get("category")), set()).update(tags if isinstance(tags, list) else ())
    return Reply(200, {"tags_by_categories": {name: sorted(tags) for name, tags in sorted(by_category.items())}})


def filters_by_sport(backend: Backend, request: web.Request, key: Key | None) -> Reply:
    """Return the sports of the listing with their search filters."""
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
    except ValueError as error:
        raise BadRequest("Invalid format for parameter minimum_start_date: error binding string parameter") from error
