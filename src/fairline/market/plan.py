"""What a listing would ask the exchange, without asking it."""

from dataclasses import dataclass

from fairline.kalshi import Kalshi, Transport
from fairline.kalshi.cache import ExchangeCache
from fairline.kalshi.client import MAX_EVENTS
from fairline.kalshi.crawl import MarketCrawl
from fairline.kalshi.fee_changes import cached_fee_changes
from fairline.kalshi.windows import CREATED
from fairline.kalshi.wire import series_list
from fairline.market.filters import Filters
from fairline.market.listing import Ages


@dataclass(frozen=True, slots=True)
class Planned:
    """Requests that would be made: where, about how many (None if nothing is known), and why."""

    path: str
    requests: int | None
    why: str


def plan(url: str, filters: Filters, memory: ExchangeCache | None = None, ages: Ages | None = None) -> list[Planned]:
    """What `read_listing` would ask the exchange at `url`, without asking."""
    ages, kalshi = ages or Ages(), Kalshi(Transport(url))
    kept = memory and memory.load_body("series", ages.facts_s)
    series = series_list(kept).rows if kept else []
    steps = [
        Planned(
            "/series", 0 if kept else 1, "kept from an earlier run" if kept else "categories and fees of all series"
        )
    ]
    by_category = filters.categories and not filters.query().narrow
    if by_category and not kept:
        why = "one walk for each series, if that is fewer requests than everything"
        steps.append(Planned("/markets", None, why))
    else:
        everything = MarketCrawl(kalshi, filters.query(), list, cache=memory).route()
        query = filters.query(series, everything.requests)
        route = MarketCrawl(kalshi, query, list, cache=memory).route()
        steps.append(Planned("/markets", route.requests, route.why))
        if route.axis is CREATED:
            steps.append(Planned("/markets", 1, "closing pass: what is created meanwhile"))
    if memory is not None and cached_fee_changes(memory, ages.facts_s) is None:
        steps += [Planned(f"/{noun}/fee_changes", 1, "fee changes that are scheduled") for noun in ("series", "events")]
    steps.append(Planned("/events", None, f"{MAX_EVENTS} a request, those not read within {ages.facts_s / 60:.0f} min"))
    return steps
