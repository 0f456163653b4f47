"""`sim` and `demo`: the simulated exchange, and a day on it."""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter, validators

from fairline.cli.output import OUTPUT, PrintOptions, emit
from fairline.cli.scanning import INCOMPLETE
from fairline.cli.terminal import note, progress_bar

Tier = Literal["basic", "advanced", "expert", "premier", "paragon", "prime", "prestige"]

_WORLD = Group("The simulated world", sort_key=10)
_SERVER = Group("The server", sort_key=20)
_TOP = 15
_AT_LEAST_0 = validators.Number(gte=0)
_AT_LEAST_1 = validators.Number(gte=1)
Seed = Annotated[int, Parameter(group=_WORLD, help="The same seed makes the same world.")]


def sim(
    *,
    markets: Annotated[int, Parameter(group=_WORLD, validator=_AT_LEAST_1, help="Number of open markets.")] = 2_000,
    combos: Annotated[
        int, Parameter(group=_WORLD, validator=_AT_LEAST_0, help="Number of multivariate markets (parlays).")
    ] = 0,
    arrivals: Annotated[
        int, Parameter(group=_WORLD, validator=_AT_LEAST_0, help="Markets listed during the first hour.")
    ] = 0,
    speed: Annotated[
        float, Parameter(group=_WORLD, validator=_AT_LEAST_0, help="How much faster than the clock time passes.")
    ] = 1,
    moves: Annotated[
        float, Parameter(group=_WORLD, validator=_AT_LEAST_0, help="Quote changes per market and hour; 0 = none.")
    ] = 3,
    seed: Seed = 0,
    replay: Annotated[
        Path | None, Parameter(group=_WORLD, help="Serve recorded markets (JSON or JSON Lines) instead.")
    ] = None,
    at: Annotated[
        datetime | None, Parameter(group=_WORLD, help="Start the clock of a replay at this time (UTC).")
    ] = None,
    trader: Annotated[
        int | None, Parameter(group=_WORLD, help="Let the key's member trade by a script of this seed.")
    ] = None,
    replay_feed: Annotated[
        Path | None, Parameter(group=_WORLD, help="Serve recorded frames of the feed instead of the world's.")
    ] = None,
    feed_speed: Annotated[
        float, Parameter(group=_WORLD, validator=validators.Number(gt=0), help="How fast to replay the feed.")
    ] = 1,
    port: Annotated[
        int, Parameter(group=_SERVER, validator=validators.Number(gte=0, lte=65535), help="0 picks a free port.")
    ] = 8080,
    host: Annotated[str, Parameter(group=_SERVER, help="Address to listen on.")] = "127.0.0.1",
    tier: Annotated[
        Tier | None,
        Parameter(group=_SERVER, help="Rate limits of this tier. Default: no limits."),
    ] = None,
    latency_ms: Annotated[
        float, Parameter(group=_SERVER, validator=_AT_LEAST_0, help="Delay of every response in milliseconds.")
    ] = 0,
    fault: Annotated[
        tuple[str, ...], Parameter(group=_SERVER, help="A fault to inject; see docs/simulator.md. Repeatable.")
    ] = (),
    public_key: Annotated[tuple[str, ...], Parameter(group=_SERVER, help="Register a public key. Repeatable.")] = (),
) -> None:
    """Run a simulated exchange on this machine."""
    from fairline.cli.simulator import run_simulator

    run_simulator(
        public_key,
        tier,
        fault,
        markets=markets,
        combos=combos,
        arrivals=arrivals,
        speed=speed,
        moves=moves,
        seed=seed,
        replay=replay,
        at=at if at is None or at.tzinfo else at.replace(tzinfo=UTC),
        trader=trader,
        replay_feed=replay_feed,
        feed_speed=feed_speed,
        host=host,
        port=port,
        latency_ms=latency_ms,
    )


def demo(
    *,
    markets: Annotated[int, Parameter(validator=_AT_LEAST_1, help="Size of the simulated exchange.")] = 15_000,
    seed: Seed = 0,
    output: Annotated[Path, Parameter(help="CSV file for the opportunities.")] = Path("fairline-demo.csv"),
    top: Annotated[int | None, Parameter(group=OUTPUT, help="Show at most this many rows.")] = None,
    printed: PrintOptions = PrintOptions(),
) -> int:
    """Scan a simulated exchange, settle it, and compare promised with realised EV. No key, no network."""
    from fairline.cli.demo import run_demo
    from fairline.output.console import show
    from fairline.output.files import choose_format, open_output
    from fairline.output.formats import write_rows
    from fairline.output.tables import Arrangement
    from fairline.output.terminal import View

    choose_format("csv", output)
    arrangement = Arrangement(top=top)
    with progress_bar("markets") as progress:
        result = run_demo(markets, seed, progress=progress, say=note)
    report = result.report
    with open_output(output) as stream:
        write_rows(stream, "csv", report.opportunities)
    note(f"Wrote {report.opportunities.height:,} opportunities to {output}")
    rows = arrangement.apply(report.opportunities)

    def print_table() -> None:
        shown = report.opportunities.head(top or _TOP)
        show(report.text(shown, View()))
        print(result.summary())

    settled = {"believed": asdict(result.believed), "unproven": asdict(result.unproven)}
    emit(
        printed,
        table=print_table,
        document=lambda: report.document(rows) | {"settled": settled},
        rows=lambda: rows,
    )
    return 0 if report.complete else INCOMPLETE
