"""The world's rows as the JSON objects of the exchange, written from its OpenAPI description (3.34.0).

A market is a static part, rendered once, and a live part with quotes and status; a page is a join of both.
"""

import json
from datetime import UTC, datetime, timedelta

import numpy as np

from fairline.sim.families import GRID_NAMES, GRIDS
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
    text = (_EPOCH + timedelta(microseconds=int(us))).isoformat().replace("+00:00", "Z")
    return text if "." not in text else text[:-1].rstrip("0") + "Z"


def dollars(price: int) -> str:
    return f"{price / UNIT:.4f}"


def count(size: int) -> str:
    return f"{size // 100}.{size % 100:02d}"


class MarketRenderer:
    """Market objects of a world, by row."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._static: dict[int, str] = {}
        # Which of the two ways an empty ask is written: 41 of about 22,000 real markets had 0.0000 instead of 1.0000.
        self._odd_sentinel = np.random.default_rng(world.seed + 1).random(len(world.columns.ticker)) < 0.002

    def __call__(self, row: int) -> str:
        static = self._static.get(row)
        if static is None:
            static = self._static[row] = self._render_static(row)
        return static + self._render_live(row)

    def _render_static(self, row: int) -> str:
        world, columns = self._world, self._world.columns
        event = world.events[columns.event[row]]
        family = world.series[event.series].family
        title, label = event.title, columns.label[row]
        known = min(event.close_us, event.close_us - 3_600_000_000)
        fields: dict[str, object] = {
            "ticker": columns.ticker[row],
            "event_ticker": event.ticker,
            "market_type": "binary",
            "title": f"{title}: {label}?",
            "subtitle": label,
            "yes_sub_title": label,
            "no_sub_title": label,
            "created_time": time_text(columns.created_us[row]),
            "updated_time": time_text(columns.created_us[row]),
            "open_time": time_text(columns.open_us[row]),
            "close_time": time_text(columns.close_us[row]),
            "latest_expiration_time": time_text(columns.close_us[row] + 604_800_000_000),
            "expiration_time": time_text(columns.close_us[row] + 604_800_000_000),
            "expected_expiration_time": time_text(known),
            "occurrence_datetime": time_text(known),
            "settlement_timer_seconds": 300,
            "can_close_early": True,
            "early_close_condition": "This market closes early when the outcome is known.",
            "notional_value_dollars": "1.0000",
            "settlement_bounds_type": "default",
            "strike_type": columns.strike[row],
            "rules_primary": f"If {label} is the outcome of {title} ({event.sub_title}), it resolves to Yes.",
            "rules_secondary": _RULES.format(title=title, sub=event.sub_title, label=label),
            "exchange_index": 2 if family.category in ("Crypto", "Commodities") else 0,
        }
        if not np.isnan(columns.floor[row]):
            fields["floor_strike"] = _number(columns.floor[row])
        if not np.isnan(columns.cap[row]):
            fields["cap_strike"] = _number(columns.cap[row])
        if columns.strike[row] == "structured":
            fields["custom_strike"] = {"competitor": f"{columns.event[row]:08x}-0000-4000-8000-{row:012x}"}
        text = json.dumps(fields, separators=(",", ":"), ensure_ascii=False)
        return f"{text[:-1]},{_GRID_JSON[columns.grid[row]]}"

    def _render_live(self, row: int) -> str:
        columns = self._world.columns
        bid, ask, status = int(columns.bid[row]), int(columns.ask[row]), int(columns.status[row])
        # An absent bid reads 0; an absent ask reads 1, or now and then 0. The sizes tell the truth.
        shown_ask = ask or (0 if self._odd_sentinel[row] else UNIT)
        last, before = int(columns.last[row]), int(columns.last[row])
        result = int(columns.result[row])
        text = (
            f',"status":"{STATUSES[status]}"'
            f',"yes_bid_dollars":"{dollars(bid)}","yes_bid_size_fp":"{count(int(columns.bid_size[row]))}"'
            f',"yes_ask_dollars":"{dollars(shown_ask)}","yes_ask_size_fp":"{count(int(columns.ask_size[row]))}"'
            f',"no_bid_dollars":"{dollars(UNIT - shown_ask)}","no_ask_dollars":"{dollars(UNIT - bid)}"'
            f',"last_price_dollars":"{dollars(last)}","previous_price_dollars":"{dollars(before)}"'
            f',"previous_yes_bid_dollars":"{dollars(bid)}","previous_yes_ask_dollars":"{dollars(shown_ask)}"'
            f',"volume_fp":"{count(int(columns.volume[row]))}","volume_24h_fp":"{count(int(columns.volume_24h[row]))}"'
            f',"open_interest_fp":"{count(int(columns.open_interest[row]))}"'
            f',"result":"{("", "no", "yes")[result + 1]}","expiration_value":"{("", "No", "Yes")[result + 1]}"'
        )
        if status == FINALIZED:
            text += f',"settlement_value_dollars":"{result}.0000","settlement_ts":"{time_text(columns.close_us[row])}"'
        return text + "}"


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
