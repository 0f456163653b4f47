"""The world's rows as the JSON objects of the exchange, written from its OpenAPI description (3.34.0).

A market is a static part, rendered once, and a live part with quotes and status, rendered when they change; a page is
a join of what is there.
"""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from math import isnan
from typing import Any

import numpy as np

from fairline.sim.families import COMBO, GRID_NAMES, GRIDS
from fairline.sim.world import FINALIZED, STATUSES, UNIT, EventState, SeriesState, World

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_GRID_JSON = [
    json.dumps(
        {
            "price_level_structure": name,
            "price_ranges": [{"start": a, "end": b, "step": step} for a, b, step in GRIDS[name]],
        },
        separators=(",", ":"),
    )[1:-1]
    for name in GRID_NAMES
]
_RULES = (
    "The market concerns {title} ({sub}). It resolves to Yes if the official source names {label}. If the event is "
    "cancelled or moved by more than two weeks, it resolves to a fair price in accordance with the rules. Revisions "
    "published after the expiration are not considered. This is a simulated market: no such event exists, and the "
    "outcome is drawn from a hidden probability when the simulated exchange settles."
)


def time_text(us: int) -> str:
    """RFC 3339 in UTC, with microseconds where there are any, as the exchange writes it."""
    seconds, micros = divmod(int(us), 1_000_000)
    day, second = divmod(seconds, 86_400)
    text = f"{_day(day)}T{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
    return f"{text}.{f'{micros:06d}'.rstrip('0')}Z" if micros else text + "Z"


@cache
def _day(number: int) -> str:
    return f"{_EPOCH + timedelta(days=number):%Y-%m-%d}"


def dollars(price: int) -> str:
    return _DOLLARS[price]


def count(size: int) -> str:
    return f"{size // 100}.{size % 100:02d}"


_DOLLARS = [f"{price / UNIT:.4f}" for price in range(UNIT + 1)]
_LIVE = b',"status":"'
_PROVISIONAL_EVERY = 500
_RESULTS = {-1: ("", ""), 0: ("no", "No"), 1: ("yes", "Yes")}


class MarketRenderer:
    """Market objects of a world as JSON bytes, by row: rendered once, and patched when the row was revised."""

    def __init__(self, world: World) -> None:
        self._world = world
        rows = len(world.columns.ticker)
        self._text: list[bytes] = [b""] * rows
        self._rendered = np.full(rows, -1, dtype=np.int32)
        self._events = [_EventText.of(world, event) for event in world.events]
        # Which of the two ways an empty ask is written: 41 of about 22,000 real markets had 0.0000 instead of 1.0000.
        self._odd_sentinel = np.random.default_rng(world.seed + 1).random(rows) < 0.002

    def __call__(self, row: int) -> bytes:
        columns, known = self._world.columns, self._text[row]
        revision = columns.revision.item(row)
        if self._rendered.item(row) == revision:
            return known
        if known:
            static = known[: known.rindex(_LIVE)]
        else:
            static = (self._render_combo(row) if columns.event.item(row) < 0 else self._render_static(row)).encode()
        self._text[row] = static + self._render_live(row).encode()
        self._rendered[row] = revision
        return self._text[row]

    def _render_static(self, row: int) -> str:
        columns = self._world.columns
        event = self._events[columns.event.item(row)]
        label = _inside(columns.label[row])
        created = time_text(columns.created_us.item(row))
        floor, cap, strike = columns.floor.item(row), columns.cap.item(row), columns.strike[row]
        provisional = ',"is_provisional":true' if row % _PROVISIONAL_EVERY == 7 else ""
        strikes = f',"floor_strike":{_number(floor)}' if not isnan(floor) else ""
        strikes += f',"cap_strike":{_number(cap)}' if not isnan(cap) else ""
        if strike == "structured":
            target = f"{columns.event.item(row):08x}-0000-4000-8000-{row:012x}"
            strikes += f',"custom_strike":{{"competitor":"{target}"}}'
        return (
            f'{{"ticker":"{columns.ticker[row]}","event_ticker":"{event.ticker}","market_type":"{event.type}"{provisional}'
            f',"title":"{event.title}: {label}?","subtitle":"{label}"'
            f',"yes_sub_title":"{label}","no_sub_title":"{label}"'
            f',"created_time":"{created}","updated_time":"{created}"'
            f',"open_time":"{time_text(columns.open_us.item(row))}"{event.times}{_SAME}'
            f',"strike_type":"{strike}"{strikes}'
            f',"rules_primary":"If {label} is the outcome of {event.title} ({event.sub_title}), it resolves to Yes."'
            f',"rules_secondary":"{_RULES.format(title=event.title, sub=event.sub_title, label=label)}"'
            f',"exchange_index":{event.shard},{_GRID_JSON[columns.grid.item(row)]}'
        )

    def _render_combo(self, row: int) -> str:
        columns, legs = self._world.columns, self._world.legs.of(row)
        ticker, created = columns.ticker[row], time_text(columns.created_us.item(row))
        label = ",".join(f"yes {_inside(columns.label[leg])}" for leg in legs)
        selected = ",".join(
            f'{{"event_ticker":"{self._events[columns.event.item(leg)].ticker}"'
            f',"market_ticker":"{columns.ticker[leg]}","side":"yes"}}'
            for leg in legs
        )
        return (
            f'{{"ticker":"{ticker}","event_ticker":"{ticker.rpartition("-")[0]}","market_type":"binary"'
            f',"title":"{label}","subtitle":"{label}","yes_sub_title":"{label}","no_sub_title":"{label}"'
            f',"created_time":"{created}","updated_time":"{created}","open_time":"{created}"'
            f"{_times(columns.close_us.item(row), 0)}{_SAME}"
            f',"strike_type":"custom","custom_strike":{{"legs":"{len(legs)}"}}'
            ',"rules_primary":"It resolves to Yes if every leg does.","rules_secondary":"","exchange_index":1'
            f",{_GRID_JSON[columns.grid.item(row)]}"
            f',"mve_collection_ticker":"{COMBO.series}-R","mve_selected_legs":[{selected}]'
        )

    def _render_live(self, row: int) -> str:
        columns = self._world.columns
        bid, ask, status = columns.bid.item(row), columns.ask.item(row), columns.status.item(row)
        # An absent bid reads 0; an absent ask reads 1, or now and then 0. The sizes tell the truth.
        shown_ask = ask or (0 if self._odd_sentinel[row] else UNIT)
        last, (result, outcome) = _DOLLARS[columns.last.item(row)], _RESULTS[columns.result.item(row)]
        if result and self._world.is_scalar(row):
            result, outcome = "scalar", _DOLLARS[self._world.payout(row)]
        yes_bid, yes_ask = _DOLLARS[bid], _DOLLARS[shown_ask]
        text = (
            f',"status":"{STATUSES[status]}"'
            f',"yes_bid_dollars":"{yes_bid}","yes_bid_size_fp":"{count(columns.bid_size.item(row))}"'
            f',"yes_ask_dollars":"{yes_ask}","yes_ask_size_fp":"{count(columns.ask_size.item(row))}"'
            f',"no_bid_dollars":"{_DOLLARS[UNIT - shown_ask]}","no_ask_dollars":"{_DOLLARS[UNIT - bid]}"'
            f',"last_price_dollars":"{last}","previous_price_dollars":"{last}"'
            f',"previous_yes_bid_dollars":"{yes_bid}","previous_yes_ask_dollars":"{yes_ask}"'
            f',"volume_fp":"{count(columns.volume.item(row))}","volume_24h_fp":"{count(columns.volume_24h.item(row))}"'
            f',"open_interest_fp":"{count(columns.open_interest.item(row))}"'
            f',"result":"{result}","expiration_value":"{outcome}"'
        )
        if result:
            text += f',"settlement_value_dollars":"{_DOLLARS[self._world.payout(row)]}"'
        if status == FINALIZED:
            text += f',"settlement_ts":"{time_text(self._world.settled_us.item(row))}"'
        return text + "}"


def live_fields(market: bytes) -> dict[str, Any]:
    """What of a market object changes: quotes, sizes, trades and status."""
    place = market.rfind(_LIVE)
    found: dict[str, Any] = json.loads(b"{" + market[place + 1 :])
    if "yes_bid_dollars" not in found:  # a recorded one has its fields in another order
        found = json.loads(market)
    return found


@dataclass(frozen=True, slots=True)
class _EventText:
    """What the markets of an event have in common, ready to be put into JSON."""

    ticker: str
    title: str
    sub_title: str
    times: str
    shard: int
    type: str

    @classmethod
    def of(cls, world: World, event: EventState) -> "_EventText":
        shard = 2 if world.series[event.series].family.category in ("Crypto", "Commodities") else 0
        kind = "scalar" if event.scalar else "binary"
        times = _times(event.close_us, 3_600_000_000)
        return cls(event.ticker, _inside(event.title), _inside(event.sub_title), times, shard, kind)


def _times(close_us: int, lead_us: int) -> str:
    latest, known = time_text(close_us + 604_800_000_000), time_text(close_us - lead_us)
    return (
        f',"close_time":"{time_text(close_us)}","latest_expiration_time":"{latest}","expiration_time":"{latest}"'
        f',"expected_expiration_time":"{known}","occurrence_datetime":"{known}"'
    )


# `liquidity_dollars` left the specification with 3.31, but clients of October 2026 still cannot do without it.
_SAME = (
    ',"settlement_timer_seconds":300,"can_close_early":true'
    ',"early_close_condition":"This market closes early when the outcome is known."'
    ',"notional_value_dollars":"1.0000","settlement_bounds_type":"default"'
    ',"liquidity_dollars":"0.0000"'
)


_SPECIAL = re.compile(r'["\\\x00-\x1f]')


def _inside(text: str) -> str:
    """The text as it stands between the quotes of a JSON string."""
    return json.dumps(text, ensure_ascii=False)[1:-1] if _SPECIAL.search(text) else text


def _number(strike: float) -> int | float:
    return int(strike) if float(strike).is_integer() else float(strike)


def event_object(world: World, event: EventState) -> dict[str, object]:
    series = world.series[event.series]
    fields: dict[str, object] = {
        "event_ticker": event.ticker,
        "series_ticker": series.ticker,
        "title": event.title,
        "sub_title": event.sub_title,
        "category": series.family.category,
        "collateral_return_type": "MECNET" if event.exclusive else "DIRECNET" if event.kind == "ladder" else "",
        "mutually_exclusive": event.exclusive,
        "strike_period": "",
        "settlement_sources": [{"name": "Simulated source", "url": "https://example.com"}],
        "last_updated_ts": time_text(event.close_us - 86_400_000_000),
    }
    if event.fee_override:
        fields["fee_type_override"], fields["fee_multiplier_override"] = event.fee_override
    return fields


def series_object(series: SeriesState) -> dict[str, object]:
    family = series.family
    return {
        "ticker": series.ticker,
        "title": family.title.format(a="", b="", n="").strip(" :@").capitalize(),
        "category": family.category,
        "categories": [family.category],
        "tags": list(family.tags),
        "frequency": family.frequency,
        "fee_type": family.fee_type,
        "fee_multiplier": family.fee_multiplier,
        "settlement_sources": [{"name": "Simulated source", "url": "https://example.com"}],
        "contract_url": "https://example.com/contract.pdf",
        "contract_terms_url": "https://example.com/terms.pdf",
        "additional_prohibitions": [],
    }
