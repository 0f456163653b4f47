"""Draw docs/crawl.svg: which window was read when, in a crawl of 40,000 simulated markets without a profile.

Command: `python -m benchmarks.figure`. A bar is a walk, from its first request to its last page; its label is the
range of creation times it covers, newest on top.
"""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.server import exchange
from fairline.kalshi import Kalshi, Rate, TokenBucket, Transport
from fairline.kalshi.crawl import MarketCrawl
from fairline.kalshi.routes import Query
from fairline.kalshi.walk import Walk

TARGET = Path(__file__).parents[1] / "docs" / "crawl.svg"
WIDTH, LEFT, ROW = 860, 250, 17
TINTS = ("#c6dbef", "#9ecae1", "#6baed6", "#4292c6", "#2171b5", "#084594")


async def crawl(url: str) -> list[Walk]:
    async with Kalshi(Transport(url, bucket=TokenBucket(Rate(200, 600)))) as kalshi:
        market_crawl = MarketCrawl(kalshi, Query(), list)
        async for _ in market_crawl.pages():
            pass
        assert market_crawl.report.complete
        return [walk for walk in market_crawl.report.walks if walk.pages]


def draw(walks: list[Walk]) -> str:
    began = min(walk.began_s or 0 for walk in walks)
    span = max(walk.ended_s or 0 for walk in walks) - began
    ordered = sorted(walks, key=lambda w: (not w.closing, -(w.span.high or 2**40)))
    scale = (WIDTH - LEFT - 110) / span
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {ROW * len(walks) + 40}" '
        'font-family="sans-serif" font-size="11" role="img" aria-label="Windows of a crawl over time">'
    ]
    for row, walk in enumerate(ordered):
        start, length = (walk.began_s or 0) - began, (walk.ended_s or 0) - (walk.began_s or 0)
        y, x = 8 + ROW * row, LEFT + start * scale
        tint = TINTS[min(walk.pages, len(TINTS)) - 1]
        parts.append(f'<text x="{LEFT - 8}" y="{y + 11}" text-anchor="end">{label(walk)}</text>')
        parts.append(
            f'<rect x="{x:.1f}" y="{y}" width="{max(length * scale, 2):.1f}" height="{ROW - 4}" fill="{tint}"/>'
        )
        pages = f"{walk.pages} page{'s' if walk.pages > 1 else ''}"
        parts.append(f'<text x="{x + max(length * scale, 2) + 4:.1f}" y="{y + 11}">{pages}</text>')
    bottom = ROW * len(walks) + 26
    parts += [f'<text x="{LEFT + s * scale:.1f}" y="{bottom}" fill="#555">{s:g} s</text>' for s in ticks(span)]
    return "\n".join([*parts, "</svg>\n"])


def ticks(span: float) -> list[float]:
    step = next(s for s in (0.1, 0.25, 0.5, 1, 2, 5) if span / s <= 6)
    return [k * step for k in range(int(span / step) + 1)]


def label(walk: Walk) -> str:
    if walk.closing:
        return "closing pass"
    low, high = (None if s is None else f"{datetime.fromtimestamp(s, UTC):%Y-%m-%d %H:%M}" for s in
                 (walk.window.low, walk.span.high))  # fmt: skip
    return f"{low or 'the beginning'} – {high or 'now'}"


if __name__ == "__main__":
    with exchange("--markets", 40_000, "--latency-ms", 150) as server:
        TARGET.write_text(draw(asyncio.run(crawl(server.url))))
