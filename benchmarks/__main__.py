"""Run the benchmarks named on the command line, or all, and write their tables into RESULTS.md."""

import importlib
import os
import platform
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

import fairline

ALL = (
    "startup",
    "output",
    "whole",
    "scan",
    "crawl",
    "evaluate",
    "simulator",
    "rules",
    "pricing",
    "curse",
    "signing",
    "store",
    "ingest",
    "backtest",
    "watch",
    "feed",
    "elo",
    "models",
    "accuracy",
    "promise",
)
RESULTS = Path(__file__).with_name("RESULTS.md")


def machine() -> str:
    model = "unknown processor"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists() and (match := re.search(r"model name\s*: (.+)", cpuinfo.read_text())):
        model = match[1]
    return f"{model}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


def main() -> None:
    text = (
        RESULTS.read_text()
        if RESULTS.exists()
        else "# Measurements\n\nMade by `make bench`; each table states when and where.\n"
    )
    for name in sys.argv[1:] or ALL:
        print(f"== {name}", flush=True)
        table = importlib.import_module(f"benchmarks.{name}").run()
        print(table)
        stamp = f"{datetime.now(UTC):%Y-%m-%d}, Fairline {fairline.__version__}, {machine()}"
        section = f"\n## {name}\n\n{stamp}. Command: `python -m benchmarks {name}`.\n\n{table}\n"
        text = re.sub(rf"\n## {name}\n.*?(?=\n## |\Z)", "", text, flags=re.DOTALL).rstrip("\n") + "\n" + section
        RESULTS.write_text(text)


main()
