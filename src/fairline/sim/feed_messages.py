"""Events of the simulated world as the bodies of feed messages, each rendered once for all connections."""

import json
from collections.abc import Iterator
from typing import Any

from fairline.sim.catalog import Level, WorldCatalog
from fairline.sim.history import trade_object
from fairline.sim.life import Move, Step, Trade
from fairline.sim.render import count, dollars, live_fields, time_text
from fairline.sim.reply import Backend
from fairline.sim.world import UNIT

Body = dict[str, Any]
_QUOTED = (
    "yes_bid_dollars",
    "yes_ask_dollars",
    "yes_bid_size_fp",
    "yes_ask_size_fp",
    "volume_fp",
    "open_interest_fp",
)
_METADATA = (
    "event_ticker",
    "title",
    "yes_sub_title",
    "no_sub_title",
    "rules_primary",
    "rules_secondary",
    "can_close_early",
)


def market_id(row: int) -> str:
    """Return the id of a market, which names its row."""
    return f"{row:08x}-0000-4000-a000-{row:012x}"


def row_of(identifier: str) -> int | None:
    """Return the row that a market id names; None for any other text."""
    try:
        row = int(identifier[:8], 16)
    except ValueError:
        return None
    return row if market_id(row) == identifier else None


class FeedMessages:
    """Renders what happens to a market. Times are the world's."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def _names(self, row: int) -> Body:
        return {"market_ticker": self._backend.catalog.tickers[row], "market_id": market_id(row)}

    def snapshot(self, row: int, clock: int, *, yes_prices: bool = False, empty: bool = False) -> Body:
        """Return a market's book as it is now; a side without levels has no key."""
        body = self._names(row) | {"clock": clock}
        yes, no = ([], []) if empty else self._backend.catalog.book(row)
        if yes:
            body["yes_dollars_fp"] = _levels(yes)
        if no:
            body["no_dollars_fp"] = _levels(no, turned=yes_prices)
        return body

    def deltas(self, move: Move, clock: int, *, yes_prices: bool = False) -> Iterator[Body]:
        """Yield the change of each level that a move of the quotes means."""
        catalog = self._backend.catalog
        if not isinstance(catalog, WorldCatalog):
            return
        before = catalog.book_at(move.row, *move.before)
        after = catalog.book_at(move.row, *move.after)
        for side, old, new in zip(("yes", "no"), before, after, strict=True):
            old_sizes, new_sizes = dict(old), dict(new)
            for price in sorted({*old_sizes, *new_sizes}):
                change = new_sizes.get(price, 0) - old_sizes.get(price, 0)
                if not change:
                    continue
                shown = UNIT - price if side == "no" and yes_prices else price
                sign = "-" if change < 0 else ""
                yield self._names(move.row) | {
                    "clock": clock,
                    "price_dollars": dollars(shown),
                    "delta_fp": sign + count(abs(change)),
                    "side": side,
                    "ts": time_text(move.at_us),
                    "ts_ms": move.at_us // 1000,
                }

    def ticker(self, row: int, at_us: int) -> Body:
        """Return a market's quotes, sizes and totals as they are now."""
        fields = live_fields(self._backend.catalog.market(row))
        body = self._names(row) | {"price_dollars": fields.get("last_price_dollars", "0.0000")}
        body |= {name: fields.get(name, "0.0000") for name in _QUOTED}
        body |= {
            "last_trade_size_fp": "1.00",
            "dollar_volume": int(float(body["volume_fp"])),
            "dollar_open_interest": int(float(body["open_interest_fp"])),
            "time": time_text(at_us // 1000 * 1000),
        }
        return body | _times(at_us)

    def closing_ticker(self, row: int, at_us: int) -> Body:
        """Return the ticker that follows a close: bid 0, ask 1, and no sizes; the last price stays."""
        nothing = {"yes_bid_dollars": "0.0000", "yes_ask_dollars": "1.0000"}
        nothing |= {"yes_bid_size_fp": "0.00", "yes_ask_size_fp": "0.00"}
        return self.ticker(row, at_us) | nothing

    def trade(self, trade: Trade) -> Body:
        body = trade_object(self._backend, trade)
        body["market_ticker"] = body.pop("ticker")
        body.pop("created_time")
        return body | _times(trade.at_us)

    def lifecycle(self, step: Step) -> Body:
        """Return a step of a market's life: created, determined or settled. Opening and closing have no message."""
        market = json.loads(self._backend.catalog.market(step.row))
        body: Body = {"event_type": step.kind, "market_ticker": market["ticker"]}
        seconds = step.at_us // 1_000_000
        if step.kind == "determined":
            world = self._backend.world
            payout = world.payout(step.row) if world is not None else 0
            return body | {"determination_ts": seconds, "result": market["result"], "settlement_value": dollars(payout)}
        if step.kind == "settled":
            return body | {"settled_ts": seconds}
        return body | self._listing_of(step.row, market) if step.kind == "created" else body

    def _listing_of(self, row: int, market: Body) -> Body:
        catalog = self._backend.catalog
        closes = catalog.close_us.item(row) // 1_000_000
        metadata = {"name": market["title"], "expected_expiration_ts": closes}
        return {
            "open_ts": catalog.created_us.item(row) // 1_000_000,
            "close_ts": closes,
            "exchange_index": 0,
            "price_level_structure": market["price_level_structure"],
            "price_ranges": market["price_ranges"],
            "additional_metadata": metadata | {name: market[name] for name in _METADATA},
        }


def _levels(levels: list[Level], *, turned: bool = False) -> list[list[str]]:
    return [[dollars(UNIT - price if turned else price), count(size)] for price, size in levels]


def _times(at_us: int) -> Body:
    return {"ts": at_us // 1_000_000, "ts_ms": at_us // 1000}
