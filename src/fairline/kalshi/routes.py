"""Choose the requests that answer a query about markets at the lowest cost."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from fairline.kalshi.windows import CLOSE, CREATED, Axis, Profile, Window, tile

MAX_MARKETS = 1000
MAX_TICKERS = 300
FILL_SHARE = 0.985
FILL_SLACK_ROWS = 50
"""Windows are cut a little short of full pages, so that a few new rows do not cost another page."""
MAX_PAGES_PER_WINDOW = 8
"""Longer windows would leave the other workers idle at the end."""


@dataclass(frozen=True, slots=True)
class Query:
    """Which markets to list. The exchange takes one status per request. Combos are listed only if `combos` is set.

    `closes` are the first and last Unix second of the closing time.
    """

    status: str | None = "open"
    series: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    tickers: tuple[str, ...] = ()
    closes: tuple[int, int] | None = None
    combos: bool = False
    page_size: int = MAX_MARKETS

    @property
    def narrow(self) -> bool:
        """Whether the query leaves out markets of its status."""
        return bool(self.series or self.events or self.tickers or self.closes)

    def base(self) -> dict[str, str]:
        """Return the filters of every request."""
        base = {"limit": str(self.page_size)}
        return base if self.combos or self.tickers else base | {"mve_filter": "exclude"}


@dataclass(frozen=True, slots=True)
class Route:
    """The filters of each cursor walk, or of one walk that is cut into windows of an axis; and why.

    `requests` is an estimate, None if nothing is known.
    """

    walks: list[dict[str, str]]
    axis: Axis | None
    windows: list[Window]
    requests: int | None
    why: str


def choose(query: Query, created: Profile | None, closes: Profile | None, workers: int) -> Route:
    """Return the cheapest route that covers the query. The profiles are those of the last complete crawl."""
    if query.tickers:
        lists = list(batches(query.tickers, MAX_TICKERS))
        walks = [query.base() | {"tickers": ",".join(names)} for names in lists]
        return Route(walks, None, [], len(walks), f"{len(query.tickers)} tickers, at most {MAX_TICKERS} per request")
    status = {} if query.status is None else {"status": query.status}
    for noun, names in (("event", query.events), ("series", query.series)):
        if names:
            walks = [query.base() | status | {f"{noun}_ticker": name} for name in names]
            return Route(walks, None, [], len(walks), f"one walk per {noun}")
    pages = None if created is None else _pages(created.rows, query.page_size)
    if query.closes is not None and query.status in ("open", "closed"):
        by_close = _choose_by_close(query, query.closes, closes, pages)
        if by_close is not None:
            return by_close
    return _choose_everything(query, closes if query.status == "closed" else created, workers)


def _choose_by_close(
    query: Query, span: tuple[int, int], profile: Profile | None, pages_of_everything: int | None
) -> Route | None:
    """Return a route by closing time, or None if listing everything is as cheap.

    The exchange does not combine windows of closing time with an open status.
    """
    status = {"status": "closed"} if query.status == "closed" else {}
    pages = None if profile is None else _pages(profile.between(*span), query.page_size)
    if pages is not None and pages_of_everything is not None and pages >= pages_of_everything:
        return None
    why = "by closing time, in every status: the exchange does not combine that filter with status=open"
    return Route([query.base() | status], CLOSE, [Window(*span)], pages, why)


def _choose_everything(query: Query, profile: Profile | None, workers: int) -> Route:
    base = query.base() | ({} if query.status is None else {"status": query.status})
    if query.status in ("paused", "settled"):
        return Route(
            [base], None, [], None, f"one cursor: the exchange does not combine time windows with status={query.status}"
        )
    axis = CLOSE if query.status == "closed" else CREATED
    if profile is None:
        return Route(
            [base], axis, [Window()], None, "one cursor, divided into windows as the density of rows becomes known"
        )
    each = max(1, min(MAX_PAGES_PER_WINDOW, round(_pages(profile.rows, query.page_size) / (1.5 * workers))))
    windows = tile(profile.cuts(max(int(each * query.page_size * FILL_SHARE) - FILL_SLACK_ROWS, query.page_size // 2)))
    why = f"{len(windows)} windows of {axis.field} with just under {each} pages each, by the last complete crawl"
    return Route([base], axis, windows, each * len(windows), why)


def _pages(rows: float, size: int) -> int:
    return max(1, -(-int(rows) // size))


def batches(tickers: Iterable[str], most: int, characters: int = 7_000) -> Iterator[list[str]]:
    """Yield the tickers in lists of at most `most`, each short enough for the address of one request."""
    batch: list[str] = []
    length = 0
    for ticker in tickers:
        if batch and (len(batch) == most or length + len(ticker) > characters):
            yield batch
            batch, length = [], 0
        batch.append(ticker)
        length += len(ticker) + len("&tickers=")
    if batch:
        yield batch
