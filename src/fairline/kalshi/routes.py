"""Which requests answer a question about markets at the least cost, and why those."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from fairline.kalshi.windows import CLOSE, CREATED, Axis, Profile, Window, tile

MAX_MARKETS = 1000
MAX_TICKERS = 300
_FILL, _SLACK = 0.985, 50
"""Windows are made for a little less than full pages, so that a few new rows do not cost another page."""
_MOST_PAGES = 8
"""In a window, so that the last ones do not keep everybody waiting."""


@dataclass(frozen=True, slots=True)
class Query:
    """Which markets to list. At most one status (the exchange takes one); combos only when asked for.

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
        """Whether it leaves out markets of its status."""
        return bool(self.series or self.events or self.tickers or self.closes)

    def base(self) -> dict[str, str]:
        """The filters that every request has."""
        base = {"limit": str(self.page_size)}
        return base if self.combos or self.tickers else base | {"mve_filter": "exclude"}


@dataclass(frozen=True, slots=True)
class Route:
    """The filters of each cursor walk, or of the one walk that is cut into windows of an axis; and why.

    `requests` is about how many it takes, None if nothing is known.
    """

    walks: list[dict[str, str]]
    axis: Axis | None
    windows: list[Window]
    requests: int | None
    why: str


def choose(query: Query, created: Profile | None, closes: Profile | None, workers: int) -> Route:
    """The cheapest way to everything that the query asks for. The profiles are those of the last whole crawl."""
    if query.tickers:
        lists = list(batches(query.tickers, MAX_TICKERS))
        walks = [query.base() | {"tickers": ",".join(names)} for names in lists]
        return Route(walks, None, [], len(walks), f"{len(query.tickers)} tickers, at most {MAX_TICKERS} a request")
    status = {} if query.status is None else {"status": query.status}
    for noun, names in (("event", query.events), ("series", query.series)):
        if names:
            walks = [query.base() | status | {f"{noun}_ticker": name} for name in names]
            return Route(walks, None, [], len(walks), f"one walk for each {noun}")
    pages = None if created is None else _pages(created.rows, query.page_size)
    if query.closes is not None and query.status in ("open", "closed"):
        by_close = _by_close(query, query.closes, closes, pages)
        if by_close is not None:
            return by_close
    return _everything(query, closes if query.status == "closed" else created, workers)


def _by_close(query: Query, span: tuple[int, int], profile: Profile | None, everything: int | None) -> Route | None:
    """By closing time, unless everything is as cheap: close windows do not go with a status that is open."""
    status = {"status": "closed"} if query.status == "closed" else {}
    pages = None if profile is None else _pages(profile.between(*span), query.page_size)
    if pages is not None and everything is not None and pages >= everything:
        return None
    why = "by closing time, in every state, because that filter does not go with status=open; the rest is dropped here"
    return Route([query.base() | status], CLOSE, [Window(*span)], pages, why)


def _everything(query: Query, profile: Profile | None, workers: int) -> Route:
    base = query.base() | ({} if query.status is None else {"status": query.status})
    if query.status in ("paused", "settled"):
        return Route([base], None, [], None, f"one cursor: time windows do not go with status={query.status}")
    axis = CLOSE if query.status == "closed" else CREATED
    if profile is None:
        return Route([base], axis, [Window()], None, "one cursor, divided into windows while it learns where rows lie")
    each = max(1, min(_MOST_PAGES, round(_pages(profile.rows, query.page_size) / (1.5 * workers))))
    windows = tile(profile.cuts(max(int(each * query.page_size * _FILL) - _SLACK, query.page_size // 2)))
    why = f"{len(windows)} windows of {axis.field}, cut where the last whole crawl found just under {each} pages each"
    return Route([base], axis, windows, each * len(windows), why)


def _pages(rows: float, size: int) -> int:
    return max(1, -(-int(rows) // size))


def batches(tickers: Iterable[str], most: int, characters: int = 7_000) -> Iterator[list[str]]:
    """The tickers in lists of at most `most` and of a length that every proxy takes in one address."""
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
