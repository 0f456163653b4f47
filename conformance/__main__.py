"""Runs other people's clients against the simulated exchange: every read they offer, signed and paged to the end.

`make conformance` installs each in a separate environment under `.venv-clients` and writes the result to
`docs/conformance.md`.
"""

import json
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from conformance.feed import run_feed
from fairline.sim import Exchange, Key, World, throw_away_pair
from fairline.sim.catalog import WorldCatalog

HERE = Path(__file__).parent
RESULTS = HERE.parent / "docs" / "conformance.md"
CLIENTS = {
    "official-sync": ("official.py", "kalshi_python_sync"),
    "official-async": ("official.py", "kalshi_python_async"),
    "pykalshi": ("third_party.py", "pykalshi"),
}


def facts_of(world: World, catalog: WorldCatalog) -> dict[str, object]:
    columns = world.columns
    traded = max(range(len(columns.ticker)), key=lambda row: (columns.status[row] == 1) * columns.volume[row])
    event = catalog.events[columns.event[traded]]
    entrant = columns.strike.index("structured")
    game = next(e for s, e in zip(world.events, catalog.events, strict=True) if s.kind == "game" and e.rows)
    return {
        "now": world.now_us // 1_000_000,
        "open": int(((columns.status == 1) & (columns.event >= 0)).sum()),
        "ticker": columns.ticker[traded],
        "event": event.ticker,
        "series": event.series,
        "archived": columns.ticker[int(catalog.archived.nonzero()[0][0])],
        "combo": columns.ticker[int(catalog.combos.nonzero()[0][0])],
        "collection": "KXMVECROSSCATEGORY-R",
        "milestone": f"00000000-0000-4000-9000-{game.rows[0]:012x}",
        "target": f"{int(columns.event[entrant]):08x}-0000-4000-8000-{entrant:012x}",
    }


def run(name: str, url: str, key_file: Path, facts: dict[str, object]) -> list[dict[str, object]] | None:
    """Return the outcome of each call of a client, None if the client is not installed."""
    script, module = CLIENTS[name]
    python = HERE.parent / ".venv-clients" / name / "bin" / "python"
    if not python.exists():
        return None
    command = [str(python), str(HERE / script), module, url, "conformance", str(key_file)]
    done = subprocess.run(command, input=json.dumps(facts), capture_output=True, text=True, check=False, timeout=600)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:] or [""]
        rows.append({"call": "(the client itself)", "ok": False, "outcome": reason[0]})
    return rows


def report(name: str, rows: list[dict[str, object]]) -> tuple[int, str]:
    """Print the outcome of a client's calls, and return how many failed and a table for the document."""
    good = sum(bool(row["ok"]) for row in rows)
    print(f"{name}: {good} of {len(rows)} calls")
    lines = [f"\n## {name}: {good} of {len(rows)} calls\n", "| call | | result |", "|---|---|---|"]
    for row in rows:
        print(f"  {'ok  ' if row['ok'] else 'FAIL'} {row['call']:45} {row['outcome']}")
        lines.append(f"| `{row['call']}` | {'ok' if row['ok'] else '**fails**'} | {row['outcome']} |")
    return len(rows) - good, "\n".join(lines)


def main() -> int:
    world = World(3_000, combos=150, past=600, seed=5)
    catalog, failed, tables = WorldCatalog(world), 0, []
    with tempfile.TemporaryDirectory() as folder:
        key_file = Path(folder) / "key.pem"
        key = Key("conformance", throw_away_pair(key_file), tier="prestige", trader_seed=1)
        with Exchange(catalog=catalog, keys=[key]) as exchange:
            facts = facts_of(world, catalog)
            for name in CLIENTS:
                rows = run(name, exchange.url, key_file, facts)
                if rows is None:
                    print(f"{name}: skipped, not installed (make conformance PYTHON313=… needs Python 3.13)")
                    continue
                bad, table = report(name, rows)
                failed += bad
                tables.append(table)
    python = HERE.parent / ".venv-clients" / "pykalshi" / "bin" / "python"
    if python.exists():
        bad, table = report("pykalshi's feed", run_feed(python, HERE / "feed_clients.py"))
        failed += bad
        tables.append(table)
    if len(tables) == len(CLIENTS) + 1:
        head = (
            "# Other people's clients\n\nEvery read that each offers, signed and paged to the end, against the "
            f"simulated exchange, {datetime.now(UTC):%Y-%m-%d}. Command: `make conformance`."
        )
        RESULTS.write_text("\n".join([head, *tables]) + "\n")
    return 1 if failed else 0


sys.exit(main())
