"""Measure how fast the simulated exchange serves and starts, and its memory: it must outpace its readers."""

import http.client
import json
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.server import Server, exchange


def pages(server: Server, *, packed: bool, seconds: float = 6.0) -> tuple[float, float, float]:
    """Read pages of 1,000 markets; return pages per second, the server's CPU seconds per page, and MB per page."""
    at = urlsplit(server.url)
    connection = http.client.HTTPConnection(at.hostname or "", at.port)
    headers = {"Accept-Encoding": "gzip"} if packed else {}
    read, size, cursor = 0, 0, ""
    start, busy = time.perf_counter(), processor(server.pid)
    while time.perf_counter() - start < seconds:
        connection.request("GET", f"{at.path}/markets?limit=1000&mve_filter=exclude&cursor={cursor}", headers=headers)
        body = connection.getresponse().read()
        read, size = read + 1, size + len(body)
        if not packed:
            cursor = body[-400:].rpartition(b'"cursor":"')[2].partition(b'"')[0].decode()
    spent = processor(server.pid) - busy
    return read / (time.perf_counter() - start), spent / read, size / read / 1e6


def processor(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def start_and_measure(*arguments: object) -> tuple[float, float]:
    """Return the seconds until a world serves, and its peak memory in MB."""
    start = time.perf_counter()
    with exchange(*arguments) as server:
        seconds = time.perf_counter() - start
        status = Path(f"/proc/{server.pid}/status").read_text()
        return seconds, int(status.partition("VmHWM:")[2].split()[0]) / 1024


PLAIN = """
import json, sys, time
rows = [{"ticker": f"KX-{i}", "yes_bid_dollars": "0.5000", "rules": "x" * 1500} for i in range(1000)]
start, pages = time.perf_counter(), 0
while time.perf_counter() - start < 3:
    json.dumps({"markets": rows, "cursor": ""}).encode()
    pages += 1
print(json.dumps(pages / (time.perf_counter() - start)))
"""


def run() -> str:
    lines = [
        "| 1,000-market pages to a plain reader | per second | server CPU ms per page | MB |",
        "|---|---|---|---|",
    ]
    with exchange("--markets", 20_000) as server:
        for label, packed in (("plain", False), ("gzip", True)):
            rate, spent, size = pages(server, packed=packed)
            lines.append(f"| {label} | {rate:.0f} | {1000 * spent:.1f} | {size:.2f} |")
    done = subprocess.run([sys.executable, "-c", PLAIN], capture_output=True, text=True, check=True)
    lines.append(
        f"| baseline: a page encoded by `json` each time, without a server | {json.loads(done.stdout):.0f} | | |"
    )
    lines += ["", "| world | seconds until it serves | peak MB |", "|---|---|---|"]
    for label, arguments in (
        ("15,000 markets", ("--markets", 15_000)),
        ("117,000 markets", ("--markets", 117_000)),
        ("1,300,000, of which 95 % are combos", ("--markets", 65_000, "--combos", 1_235_000)),
    ):
        seconds, peak = start_and_measure(*arguments)
        lines.append(f"| {label} | {seconds:.1f} | {peak:,.0f} |")
    return "\n".join(lines)
