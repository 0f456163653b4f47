"""The world's rows as the JSON objects of the exchange, written from its OpenAPI description (3.34.0).

A market object consists of a static part, rendered once, and a live part with times, quotes and status, rendered when
the row changes. A page joins the rendered objects.
"""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from math import isnan
from typing import Any

import numpy as np

from fairline.sim.columns import Columns
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
    """Return RFC 3339 in UTC, with fractional seconds only where they are not zero, as the exchange writes it."""
    seconds, micros = divmod(int(us), 1_000_000)
    day, second = divmod(seconds, 86_400)
    text = f"{_day(day)}T{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
    return f"{text}.{f'{micros:06d}'.rstrip('0')}Z" if micros else text + "Z"


@cache
def _day(number: int) -> str:
    return f"{_EPOCH + timedelta(days=number):%Y-%m-%d}"


def dollars(price: int) -> str:
    """Return a price in 1/10,000 dollar as dollars with four decimals."""
    return _DOLLARS[price]


def count(size: int) -> str:
    """Return a size in 1/100 contract as contracts with two decimals."""
    return f"{size // 100}.{size % 100:02d}"


_DOLLARS = [f"{price / UNIT:.4f}" for price in range(UNIT + 1)]
_LIVE = b',"status":"'
_PROVISIONAL_INTERVAL = 500
_WEEK_US = 604_800_000_000


class MarketRenderer:
    """Returns a world's market objects as JSON bytes by row; each is rendered once and patched when its row changes."""

    def __init__(self, world: World) -> None:
        self._world = world
        rows = len(world.columns.ticker)
        self._text: list[bytes] = [b""] * rows
        self._rendered = np.full(rows, -1, dtype=np.int32)
        self._events = [_EventText.of(world, event) for event in world.events]
        # An empty ask reads 1.0000, but 0.0000 in 41 of about 22,000 real markets.
        self._odd_sentinel = np.random.default_rng(world.seed + 1).random(rows) < 0.002

    def __call__(self, row: int) -> bytes:
        columns = self._world.columns
        known = self._text[row]
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
        provisional = ',"is_provisional":true' if row % _PROVISIONAL_INTERVAL == 7 else ""
        return (
            f'{{"ticker":"{columns.ticker[row]}","event_ticker":"{event.ticker}","market_type":"{event.type}"{provisional}'
            f',"title":"{event.title}: {label}?","subtitle":"{label}"'
            f',"yes_sub_title":"{label}","no_sub_title":"{label}"'
            f',"created_time":"{created}","updated_time":"{created}"'
            f',"open_time":"{time_text(columns.open_us.item(row))}"{event.times}{_CONSTANT_FIELDS}'
            f',"strike_type":"{columns.strike[row]}"{self._strikes(row, event)}'
            f',"rules_primary":"If {label} is the outcome of {event.title} ({event.sub_title}), it resolves to Yes."'
            f',"rules_secondary":"{_RULES.format(title=event.title, sub=event.sub_title, label=label)}"'
            f',"exchange_index":{event.shard},{_GRID_JSON[columns.grid.item(row)]}'
        )

    def _strikes(self, row: int, event: "_EventText") -> str:
        columns = self._world.columns
        floor = columns.floor.item(row)
        cap = columns.cap.item(row)
        text = f',"floor_strike":{_number(floor)}' if not isnan(floor) else ""
        text += f',"cap_strike":{_number(cap)}' if not isnan(cap) else ""
        if columns.strike[row] == "structured" or columns.subject.item(row) >= 0:
            text += f',"custom_strike":{{"{event.target}":"{target_id(columns, row)}"}}'
        return text

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
            f"{_times(columns.ends_us.item(row), 0)}{_CONSTANT_FIELDS}"
            f',"strike_type":"custom","custom_strike":{{"legs":"{len(legs)}"}}'
            ',"rules_primary":"It resolves to Yes if every leg does.","rules_secondary":"","exchange_index":1'
            f",{_GRID_JSON[columns.grid.item(row)]}"
            f',"mve_collection_ticker":"{COMBO.series}-R","mve_selected_legs":[{selected}]'
        )

    def _render_live(self, row: int) -> str:
        columns = self._world.columns
        bid = columns.bid.item(row)
        ask = columns.ask.item(row)
        status = columns.status.item(row)
        # An absent bid reads 0; an absent ask reads 1, or sometimes 0. Only the size shows that a side is absent.
        shown_ask = ask or (0 if self._odd_sentinel[row] else UNIT)
        last = _DOLLARS[columns.last.item(row)]
        yes_bid = _DOLLARS[bid]
        yes_ask = _DOLLARS[shown_ask]
        text = (
            f',"status":"{STATUSES[status]}"{self._closing_times(row)}'
            f',"yes_bid_dollars":"{yes_bid}","yes_bid_size_fp":"{count(columns.bid_size.item(row))}"'
            f',"yes_ask_dollars":"{yes_ask}","yes_ask_size_fp":"{count(columns.ask_size.item(row))}"'
            f',"no_bid_dollars":"{_DOLLARS[UNIT - shown_ask]}","no_ask_dollars":"{_DOLLARS[UNIT - bid]}"'
            f',"last_price_dollars":"{last}"{self._render_previous(row)}'
            f',"volume_fp":"{count(columns.volume.item(row))}","volume_24h_fp":"{count(columns.volume_24h.item(row))}"'
            f',"open_interest_fp":"{count(columns.open_interest.item(row))}"' + self._render_result(row)
        )
        if status == FINALIZED:
            text += f',"settlement_ts":"{time_text(self._world.settled_us.item(row))}"'
        return text + "}"

    def _render_previous(self, row: int) -> str:
        """Render price and quotes a day before the world began; they read 0 where there were none."""
        past = self._world.life.past
        price, bid, ask = (
            _DOLLARS[int(values[row])] for values in (past.previous_last, past.previous_bid, past.previous_ask)
        )
        return (
            f',"previous_price_dollars":"{price}","previous_yes_bid_dollars":"{bid}","previous_yes_ask_dollars":"{ask}"'
        )

    def _closing_times(self, row: int) -> str:
        """Render the times that change when a market closes before its announced time."""
        close_us = self._world.columns.close_us.item(row)
        latest = time_text(close_us + _WEEK_US)
        close = time_text(close_us)
        return f',"close_time":"{close}","latest_expiration_time":"{latest}","expiration_time":"{latest}"'

    def _render_result(self, row: int) -> str:
        result = self._world.columns.result.item(row)
        if result < 0:
            return ',"result":"","expiration_value":""'
        payout = _DOLLARS[self._world.payout(row)]
        if self._world.is_scalar(row):
            result_text, value = "scalar", payout
        else:
            result_text, value = ("yes", "Yes") if result else ("no", "No")
        return f',"result":"{result_text}","expiration_value":"{value}","settlement_value_dollars":"{payout}"'


def live_fields(market: bytes) -> dict[str, Any]:
    """Return the changing part of a market object: times, quotes, sizes, trades and status."""
    place = market.rfind(_LIVE)
    fields: dict[str, Any] = json.loads(b"{" + market[place + 1 :])
    if "yes_bid_dollars" not in fields:
        # A recorded market has its fields in another order.
        fields = json.loads(market)
    return fields


def target_id(columns: Columns, row: int) -> str:
    """Return the structured target of a market: its entrant, or the team or player that its strike is about."""
    subject = columns.subject.item(row)
    number = row if subject < 0 else (subject + 1) << 32
    return f"{columns.event.item(row):08x}-0000-4000-8000-{number:012x}"


@dataclass(frozen=True, slots=True)
class _EventText:
    """The fields that all markets of an event share, ready to be put into JSON."""

    ticker: str
    title: str
    sub_title: str
    times: str
    shard: int
    type: str
    target: str

    @classmethod
    def of(cls, world: World, event: EventState) -> "_EventText":
        family = world.series[event.series].family
        shard = 2 if family.category in ("Crypto", "Commodities") else 0
        kind = "scalar" if event.scalar else "binary"
        sport = family.tags[0].lower() if family.tags else ""
        target = {"spread": f"{sport}_team", "props": f"{sport}_player"}.get(event.kind, "competitor")
        times = _times(event.ends_us, 3_600_000_000)
        return cls(event.ticker, _inside(event.title), _inside(event.sub_title), times, shard, kind, target)


def _times(ends_us: int, lead_us: int) -> str:
    """Render the times at which an outcome is expected, `lead_us` before trading ends."""
    decided = time_text(ends_us - lead_us)
    return f',"expected_expiration_time":"{decided}","occurrence_datetime":"{decided}"'


# The specification dropped `liquidity_dollars` in 3.31, but clients of October 2026 still require it.
_CONSTANT_FIELDS = (
    ',"settlement_timer_seconds":300,"can_close_early":true'
    ',"early_close_condition":"This market closes early when the outcome is known."'
    ',"notional_value_dollars":"1.0000","settlement_bounds_type":"default"'
    ',"liquidity_dollars":"0.0000"'
)


_SPECIAL = re.compile(r'["\\\x00-\x1f]')


def _inside(text: str) -> str:
    """Return a text as it appears between the quotes of a JSON string."""
    return json.dumps(text, ensure_ascii=False)[1:-1] if _SPECIAL.search(text) else text


def _number(strike: float) -> int | float:
    return int(strike) if float(strike).is_integer() else float(strike)


def event_object(world: World, event: EventState) -> dict[str, object]:
    """Return an event as the exchange sends it, without its markets."""
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
        "last_updated_ts": time_text(event.ends_us - 86_400_000_000),
    }
    if event.fee_override:
        fields["fee_type_override"], fields["fee_multiplier_override"] = event.fee_override
    return fields


def series_object(series: SeriesState) -> dict[str, object]:
    """Return a series as the exchange sends it."""
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
