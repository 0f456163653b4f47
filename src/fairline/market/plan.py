"""List the requests that a listing would make, without making them."""

from dataclasses import dataclass

from fairline.kalshi import Kalshi, Transport
from fairline.kalshi.cache import ExchangeCache
from fairline.kalshi.client import MAX_EVENTS
from fairline.kalshi.crawl import MarketCrawl
from fairline.kalshi.fee_changes import cached_fee_changes
from fairline.kalshi.windows import CREATED
from fairline.kalshi.wire import Series, series_list
from fairline.market.filters import Filters
from fairline.market.listing import Ages
from fairline.market.selection import build_query


@dataclass(frozen=True, slots=True)
class PlannedRequests:
    """Requests to one path: about how many (None if unknown), and why."""

    path: str
    requests: int | None
    why: str


def plan_requests(
    url: str, filters: Filters, memory: ExchangeCache | None = None, ages: Ages | None = None
) -> list[PlannedRequests]:
    """Return the requests that `read_listing` would send to the exchange at `url`."""
    ages = ages or Ages()
    cached = memory and memory.load_body("series", ages.facts_s)
    series = series_list(cached).rows if cached else []
    if cached:
        plan = [PlannedRequests("/series", 0, "cached by an earlier run")]
    else:
        plan = [PlannedRequests("/series", 1, "categories and fees of all series")]
    if filters.categories and not build_query(filters).narrow and not cached:
        why = "one walk per series, if that takes fewer requests than a full crawl"
        plan.append(PlannedRequests("/markets", None, why))
    else:
        plan += _plan_markets(url, filters, series, memory)
    if memory is not None and cached_fee_changes(memory, ages.facts_s) is None:
        plan += [PlannedRequests(f"/{noun}/fee_changes", 1, "scheduled fee changes") for noun in ("series", "events")]
    why = f"{MAX_EVENTS} per request, for events not read within {ages.facts_s / 60:.0f} min"
    return [*plan, PlannedRequests("/events", None, why)]


def _plan_markets(
    url: str, filters: Filters, series: list[Series], memory: ExchangeCache | None
) -> list[PlannedRequests]:
    kalshi = Kalshi(Transport(url))
    full_crawl = MarketCrawl(kalshi, build_query(filters), list, cache=memory).route()
    query = build_query(filters, series, full_crawl.requests)
    route = MarketCrawl(kalshi, query, list, cache=memory).route()
    plan = [PlannedRequests("/markets", route.requests, route.why)]
    if route.axis is CREATED:
        plan.append(PlannedRequests("/markets", 1, "closing pass: markets created meanwhile"))
    return plan
