"""Read the whole listing: Fairline compared with sequential readers and other people's clients."""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.server import Server, exchange

CRAWLERS = Path(__file__).with_name("crawlers.py")
CLIENTS = Path(__file__).parents[1] / ".venv-clients"
OFFICIAL, PYKALSHI = (CLIENTS / name / "bin" / "python" for name in ("official-async", "pykalshi"))
MARKETS = 117_000
BURST, RATE = 60, 20  # requests of the Basic tier at 10 tokens each

Measured = dict[str, float]


def crawl(name: str, server: Server, warm: Server, *arguments: object, python: Path | str = sys.executable) -> Measured:
    command = [str(python), str(CRAWLERS), name, server.url, *map(str, arguments), warm.url]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    result: Measured = json.loads(done.stdout)
    return result


def best(times: int, *arguments: object, **more: object) -> Measured:
    return min((crawl(*arguments, **more) for _ in range(times)), key=lambda result: result["seconds"])


def measure_limited(warm: Server) -> list[str]:
    """Crawl at 150 ms per page and the Basic tier; compare with the least time that the pages need."""
    lines = []
    pages = -(-MARKETS // 1000)
    bound = (pages - BURST) / RATE + 0.150
    for label, seeded in (("first crawl, without a profile", False), ("next crawl, with the last profile", True)):
        with (
            exchange("--markets", MARKETS, "--latency-ms", 150, "--tier", "basic") as server,
            tempfile.TemporaryDirectory() as folder,
        ):
            arguments = (server.key_id, server.key_file, folder)
            if seeded:
                crawl("fairline", server, warm, *arguments)
                time.sleep(4)  # let the bucket refill
            result = crawl("fairline", server, warm, *arguments)
            assert result["rows"] == MARKETS
            lines.append(
                f"| 150 ms per page, Basic tier (burst {BURST}, then {RATE} per second): {label} "
                f"| {result['requests']:.0f} | {result['seconds']:.2f} "
                f"| bound for {pages} pages {bound:.2f} s: {result['seconds'] / bound:.2f} × |"
            )
    return lines


def measure_unlimited(warm: Server) -> list[str]:
    lines = []
    with exchange("--markets", MARKETS, "--latency-ms", 80) as server, tempfile.TemporaryDirectory() as folder:
        readers = [
            ("sequential `requests` and `json`", crawl("requests", server, warm)),
            ("sequential aiohttp and msgspec, same fields, a list", best(2, "aiohttp", server, warm)),
        ]
        if OFFICIAL.exists():
            readers.append(("official `kalshi_python_async` 3.34", crawl("official", server, warm, python=OFFICIAL)))
            key = (server.key_id, server.key_file)
            readers.append(("`pykalshi` 2.0, signed", crawl("pykalshi", server, warm, *key, python=PYKALSHI)))
        first = best(3, "fairline", server, warm)
        crawl("fairline", server, warm, "", "", folder)
        readers += [
            ("Fairline, without a profile", first),
            ("Fairline, with the last profile, journalled", best(3, "fairline", server, warm, "", "", folder)),
        ]
        base = readers[1][1]
        for label, result in readers:
            assert result["rows"] == MARKETS
            lines.append(
                f"| {label} | {result['seconds']:.2f} | {base['seconds'] / result['seconds']:.1f} × "
                f"| {result['cpu'] / result['rows'] * 1e6:.1f} ms | {result['cpu'] / base['cpu']:.2f} "
                f"| {result['peak_mb']:.0f} |"
            )
    return lines


def measure_sizes(warm: Server) -> list[str]:
    lines = []
    for markets, combos in ((15_000, 0), (MARKETS, 0), (500_000, 0), (65_000, 1_235_000)):
        with exchange("--markets", markets, "--combos", combos) as server:
            result = crawl("fairline", server, warm, "", "", "", "1" if combos else "")
        total = result["rows"]
        assert total == markets + combos
        label = f"{total:,} markets" + (" with combos" if combos else "")
        lines.append(
            f"| {label} | {result['seconds']:.2f} | {result['seconds'] / total * 1e5:.2f} s | {result['peak_mb']:.0f} "
            f"| {(result['peak_mb'] - _floor(warm)) / total * 1e5:.0f} MB |"
        )
    return lines


def _floor(warm: Server) -> float:
    """Return the memory of a process that has read almost nothing, in MB."""
    return crawl("fairline", warm, warm)["peak_mb"]


def run() -> str:
    with exchange("--markets", 300) as warm:
        return "\n".join(
            [
                f"| {MARKETS:,} markets, gzip | requests | seconds | compared with the bound |\n|---|---|---|---|",
                *measure_limited(warm),
                f"\n| {MARKETS:,} markets, gzip, 80 ms per page, no limit | seconds | faster | CPU time per 1,000 "
                "| ratio | peak MB |\n|---|---|---|---|---|---|",
                *measure_unlimited(warm),
                "\n| all rows into the frame, no latency, no limit | seconds | per 100,000 | peak MB "
                "| above the floor, per 100,000 |\n|---|---|---|---|---|",
                *measure_sizes(warm),
            ]
        )
