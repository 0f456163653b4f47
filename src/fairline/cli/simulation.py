"""`sim` and `demo`: the simulated exchange by itself, and a whole day on it."""

import signal
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from fairline.cli.demo import run_demo
from fairline.cli.options import AsJson, Top
from fairline.cli.terminal import counting, deliver, note
from fairline.errors import UsageError
from fairline.kalshi.limits import TIERS
from fairline.output import tables, terminal
from fairline.output.files import choose_format, show, write_whole
from fairline.sim import Exchange, Fault, Key, read_public_key, throw_away_pair

commands = typer.Typer()


@commands.command(epilog="Example: fairline sim --markets 15000 --port 8080 --fault 429:0.05")
def sim(
    markets: Annotated[int, typer.Option(min=1, help="Open markets of the made-up world.")] = 2_000,
    combos: Annotated[int, typer.Option(min=0, help="Parlays on several of them: most of what a real listing is.")] = 0,
    arrivals: Annotated[int, typer.Option(min=0, help="Markets that are listed within the first hour.")] = 0,
    speed: Annotated[float, typer.Option(min=0, help="How much faster than the clock the world's time runs.")] = 1,
    moves: Annotated[
        float, typer.Option(min=0, help="How often a market's quotes move in an hour. 0: they stand still.")
    ] = 3,
    replay: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Serve recorded markets (JSON, JSON Lines).")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8080,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    tier: Annotated[
        str | None, typer.Option(help=f"Rate limits of a tier: {', '.join(TIERS)}. If absent, no limits.")
    ] = None,
    latency_ms: Annotated[float, typer.Option(min=0, help="Added to every answer.")] = 0,
    fault: Annotated[list[str] | None, typer.Option(metavar="NAME[:P[:TIMES]]", help="Go wrong on purpose.")] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same world.")] = 0,
    public_key: Annotated[
        list[str] | None, typer.Option(metavar="KEY_ID=FILE", help="Register a public key. Repeatable.")
    ] = None,
) -> None:
    """Run a simulated exchange on this machine."""
    faults = [Fault.parse(text) for text in fault or []]
    with tempfile.TemporaryDirectory(prefix="fairline-sim-") as folder:
        keys = [_registered(text, tier) for text in public_key or []]
        exports = "" if keys else _throw_away_key(Path(folder), tier, keys)
        exchange = Exchange(
            markets=markets, combos=combos, arrivals=arrivals, speed=speed, moves=moves, seed=seed, replay=replay,
            host=host, port=port, tier=tier, latency_ms=latency_ms, faults=faults, keys=keys,
        )  # fmt: skip
        exchange.render_all()
        with exchange:
            listed = len(exchange.backend.catalog.tickers)
            print(f"Simulated exchange with {listed:,} markets at {exchange.url}")
            print(f"The article's surface is at {exchange.article_url}\n{exports}Ctrl-C stops it.", flush=True)
            _wait_for_signal()


@commands.command(epilog="Example: fairline demo --markets 15000 --output opportunities.csv")
def demo(
    markets: Annotated[int, typer.Option(min=1, help="Size of the simulated exchange.")] = 15_000,
    seed: Annotated[int, typer.Option(help="Same seed, same world.")] = 0,
    output: Annotated[Path, typer.Option(metavar="PATH", help="Where the opportunities go, as CSV.")] = Path(
        "fairline-demo.csv"
    ),
    top: Top = None,
    as_json: AsJson = False,
) -> None:
    """Scan a simulated exchange in this process: no key, no network. Then settle it and compare promise with result."""
    choose_format("csv", output)
    with counting("markets") as progress:
        result = run_demo(markets, seed, progress=progress, say=note)
    table = tables.opportunity_table(result.evaluation.opportunities, result.listing.exchange)
    write_whole(output, tables.encode(table, "csv"))
    note(f"Wrote {table.height:,} opportunities to {output}")
    if as_json:
        document = tables.scan_document(result.listing, result.evaluation, top)
        promise = {name: getattr(result, name) and asdict(getattr(result, name)) for name in ("promised", "realised")}
        deliver(tables.encode_json(document | {"settled": promise}), None)
    else:
        show(terminal.scan_report(result.listing, result.evaluation, top or 15))
        print(result.summary())
    raise typer.Exit(0 if result.listing.complete else 3)


def _registered(text: str, tier: str | None) -> Key:
    key_id, _, path = text.partition("=")
    if not key_id or not path:
        raise UsageError(f"{text!r} is not KEY_ID=FILE", remedy="Such as --public-key my-key=public.pem")
    return Key(key_id, read_public_key(Path(path)), tier=tier or "basic")


def _throw_away_key(folder: Path, tier: str | None, keys: list[Key]) -> str:
    """Register a fresh key; the text says how to use it."""
    path = folder / "key.pem"
    keys.append(Key("sim-key", throw_away_pair(path), tier=tier or "basic"))
    return f"To sign in:\n  export KALSHI_API_KEY_ID=sim-key\n  export KALSHI_PRIVATE_KEY_PATH={path}\n"


def _wait_for_signal() -> None:
    """Sleep until SIGINT or SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        signal.pause()
    except KeyboardInterrupt:
        note("Stopped.")
