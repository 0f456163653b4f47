"""`history`, `report`, `scorecard`, `calibrate`, `blend` and `sql`: what a watch has seen, and what follows from it."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import polars as pl
import polars.selectors as cs
import typer
from rich.console import RenderableType

from fairline.cli.options import AsJson, Exchange_, Profile, StoreFolder
from fairline.cli.terminal import deliver, note, settings_of
from fairline.config.connect import store_folder
from fairline.errors import InputError, UsageError
from fairline.market.frame import empty_markets, with_probabilities
from fairline.models import Model, installed, load, voices
from fairline.models.blend import blend_path
from fairline.models.calibrated import calibration_path
from fairline.output import charts, tables, terminal
from fairline.output.files import open_console, show, write_whole
from fairline.output.html import history_page, report_page
from fairline.scoring.blending import fit_pool, opinions
from fairline.scoring.calibration import fit, price_history
from fairline.scoring.scorecard import read_scorecard, scorecard_document
from fairline.store.sql import query
from fairline.store.store import Store
from fairline.text import parse_duration

commands = typer.Typer()

Since = Annotated[str | None, typer.Option("--since", metavar="SPAN", help="Such as 24h, 30d. Everything if absent.")]
_FORMS = ("table", "json", "csv")


@commands.command(epilog="Example: fairline history KXHIGHNY-26NOV23-B54.5 --since 7d --output history.png")
def history(
    ticker: Annotated[str, typer.Argument(help="A market's ticker.")],
    since: Since = None,
    output: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Draw it there: .png, .svg or .html; .csv for the figures.")
    ] = None,
    as_json: AsJson = False,
    store: StoreFolder = None,
    exchange: Exchange_ = None,
    profile: Profile = None,
) -> None:
    """A market's prices, what models said, and when it was an opportunity."""
    kept, name, begin = _store(exchange, profile, store), ticker.upper(), _since(since)
    mine = pl.col("ticker") == name
    quotes = kept.history(name, begin)
    if quotes.is_empty():
        raise InputError(f"the store has nothing of {name}", remedy="Check the ticker, or --store")
    predictions = kept.read("predictions", since=begin, where=mine)
    edges = kept.read("edges", where=mine)
    if begin is not None:
        # Those since then, and the last before: it may still hold.
        before = edges.filter(pl.col("seen_ts") <= begin).unique(["side", "model"], keep="last", maintain_order=True)
        held = before.filter(pl.col("change") != "gone")
        edges = pl.concat([held, edges.filter(pl.col("seen_ts") > begin)])
    _say_troubles(kept)
    if output is not None:
        write_whole(output, _drawn(output, kept, name, quotes, predictions, edges))
        note(f"Wrote {output}")
        return
    if as_json:
        rows = {"quotes": quotes, "predictions": predictions, "edges": edges}
        deliver(tables.encode_json({"ticker": name, **{k: tables.records(v) for k, v in rows.items()}}), None)
        return
    print(charts.in_terminal(quotes, predictions, open_console().width))
    show(terminal.history_report(quotes, edges))


@commands.command("report", epilog="Example: fairline report --since 24h --output yesterday.html")
def report_command(
    since: Annotated[str, typer.Option(metavar="SPAN", help="Such as 24h, 7d.")] = "24h",
    output: Annotated[Path, typer.Option(metavar="PATH", help="Where the page goes.")] = Path("fairline-report.html"),
    store: StoreFolder = None,
    exchange: Exchange_ = None,
    profile: Profile = None,
) -> None:
    """One self-contained page: what appeared, what went and why, what came of it, funnel, health, charts."""
    settings = settings_of(exchange=exchange, profile=profile)
    kept, until = _store(exchange, profile, store), datetime.now(UTC)
    page = report_page(kept, until - parse_duration(since, field="since"), until, settings.url)
    _say_troubles(kept)
    write_whole(output, page.encode())
    note(f"Wrote {output}")


@commands.command(epilog="Example: fairline scorecard --since 30d")
def scorecard(
    since: Since = None,
    as_json: AsJson = False,
    plot: Annotated[Path | None, typer.Option(metavar="PATH", help="Draw the reliability there: .png or .svg.")] = None,
    store: StoreFolder = None,
    exchange: Exchange_ = None,
    profile: Profile = None,
) -> None:
    """What was claimed against what came of it: EV promised and realised, and each model beside the market's price."""
    kept = _store(exchange, profile, store)
    card = read_scorecard(kept, _since(since))
    _say_troubles(kept)
    if plot is not None:
        write_whole(plot, charts.write_figure(charts.reliability_figure(card.reliability), plot))
        note(f"Wrote {plot}")
    if as_json:
        deliver(tables.encode_json(scorecard_document(card)), None)
    else:
        show(terminal.scorecard_report(card))


@commands.command(epilog="Example: fairline calibrate && fairline scan --model calibrated")
def calibrate(
    output: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Where the curves go; where the model looks, if absent.")
    ] = None,
    as_json: AsJson = False,
    store: StoreFolder = None,
    exchange: Exchange_ = None,
    profile: Profile = None,
) -> None:
    """Fit what prices have meant on the markets that a watch saw settle, and say whether that beats the price."""
    kept = _store(exchange, profile, store)
    curves = fit(price_history(kept), datetime.now(UTC))
    _say_troubles(kept)
    _keep(curves, output, calibration_path(), None if as_json else terminal.curves_report(curves))


@commands.command(epilog="Example: fairline blend && fairline scan --model blend")
def blend(
    output: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Where the weights go; where the model looks, if absent.")
    ] = None,
    as_json: AsJson = False,
    store: StoreFolder = None,
    exchange: Exchange_ = None,
    profile: Profile = None,
) -> None:
    """Fit what each model's opinion was worth beside the price on the markets that a watch saw settle."""
    kept, now = _store(exchange, profile, store), datetime.now(UTC)
    said = opinions(kept)
    _say_troubles(kept)
    made = list[Model]()
    there = {entry.name for entry in installed()}
    for name in said["model"].unique(maintain_order=True):
        if name not in there:
            note(f"{name} is no installed model, so it has no voice")
            continue
        try:
            made.append(load(name))
        except UsageError as error:
            note(f"{name} has no voice: {error.message}")
    facts = kept.read("facts", where=pl.col("ticker").is_in(said["ticker"].unique().to_list()))
    markets = facts.unique("ticker", keep="last").with_columns(status=pl.lit("active"))
    markets = pl.concat([empty_markets(), markets.drop("seen_ts")], how="diagonal_relaxed")
    pool = fit_pool(said, voices(made, with_probabilities(markets), now), now)
    _keep(pool, output, blend_path(), None if as_json else terminal.pool_report(pool))


def _keep(made: msgspec.Struct, output: Path | None, usual: str, report: RenderableType | None) -> None:
    """Write what was fitted where its model looks, or where it is told, and show it: as JSON without a report."""
    target, content = output or Path(usual), msgspec.json.encode(made)
    if output is None:
        target.parent.mkdir(parents=True, exist_ok=True)
    write_whole(target, content)
    if report is None:
        deliver(msgspec.json.format(content) + b"\n", None)
    else:
        show(report)
    note(f"Wrote {target}")


@commands.command(epilog='Example: fairline sql "SELECT outcome, count(*) FROM scans GROUP BY outcome"')
def sql(
    text: Annotated[str, typer.Argument(help="A query over quotes, facts, predictions, edges, settlements, scans.")],
    form: Annotated[str, typer.Option("--format", help=", ".join(_FORMS))] = "table",
    store: StoreFolder = None,
    exchange: Exchange_ = None,
    profile: Profile = None,
) -> None:
    """Ask the store in SQL (DuckDB, an optional extra). The columns are in docs/running.md."""
    if form not in _FORMS:
        raise UsageError(f"there is no format {form!r}", remedy=f"--format takes {', '.join(_FORMS)}")
    answer = query(_store(exchange, profile, store), text)
    if form == "json":
        rows = answer.with_columns(cs.float().fill_nan(None)).to_dicts()
        deliver((json.dumps(rows, indent=2, default=str, ensure_ascii=False) + "\n").encode(), None)
    elif form == "csv":
        flat = answer.with_columns(
            pl.Series(name, [str(value) for value in answer[name]])
            for name, dtype in answer.schema.items() if dtype.is_nested()
        )  # fmt: skip
        deliver(tables.encode(flat, "csv"), None)
    else:
        show(terminal.plain_table(answer))


def _drawn(
    output: Path, kept: Store, ticker: str, quotes: pl.DataFrame, predictions: pl.DataFrame, edges: pl.DataFrame
) -> bytes:
    suffix = output.suffix.lower()
    if suffix == ".csv":
        return tables.encode(quotes, "csv")
    if suffix == ".html":
        titles = kept.latest("facts", datetime.now(UTC), pl.col("ticker") == ticker)["title"].to_list()
        return history_page(ticker, (titles or [None])[0] or "", quotes, predictions, edges).encode()
    return charts.write_figure(charts.history_figure(ticker, quotes, predictions, edges), output)


def _store(exchange: str | None, profile: str | None, given: Path | None) -> Store:
    folder = store_folder(settings_of(exchange=exchange, profile=profile), given)
    if not (folder / "store.json").exists():
        raise InputError(f"there is no store at {folder}", remedy="fairline watch makes one; --store names another")
    return Store(folder)


def _since(text: str | None) -> datetime | None:
    return None if text is None else datetime.now(UTC) - parse_duration(text, field="since")


def _say_troubles(kept: Store) -> None:
    for words in kept.warnings:
        note(f"fairline: {words}")
