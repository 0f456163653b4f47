"""Bulk requests: many identifiers, one list of them per request, as many requests at once as the rate allows."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from fairline.kalshi.decoding import Page, Rejected
from fairline.kalshi.errors import KalshiError
from fairline.kalshi.tasks import run_together

T = TypeVar("T")

MAX_CONCURRENT_REQUESTS = 64
"""More would wait at a slow exchange until their signatures expire."""


@dataclass(slots=True)
class BulkResult(Generic[T]):
    """The rows read, the rows rejected, and how many identifiers could not be requested, with the last reason."""

    rows: list[T] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    unread: int = 0
    reason: str = ""


async def read_in_bulk(lists: Sequence[list[str]], fetch: Callable[[list[str]], Awaitable[Page[T]]]) -> BulkResult[T]:
    """Fetch one page for each list of identifiers. A failed request costs its list, which is counted as unread."""

    slots = asyncio.Semaphore(MAX_CONCURRENT_REQUESTS)

    async def attempt(names: list[str]) -> Page[T] | KalshiError:
        try:
            async with slots:
                return await fetch(names)
        except KalshiError as error:
            return error

    answers = await run_together(attempt(names) for names in lists)
    result = BulkResult[T]()
    for names, answer in zip(lists, answers, strict=True):
        if isinstance(answer, KalshiError):
            result.unread += len(names)
            result.reason = answer.message
        else:
            result.rows += answer.rows
            result.rejected += answer.rejected
    return result
