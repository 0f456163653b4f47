"""`calibrate` and `blend`: models fitted on what a watch has recorded."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from fairline.api.options import Connection
from fairline.cli.options import ConnectionOptions, Json, StoreFolder
from fairline.cli.settings import open_store, read_settings, warn_about_damage
from fairline.cli.terminal import deliver, note
from fairline.errors import UsageError

if TYPE_CHECKING:
    import msgspec
    from rich.console import RenderableType

    from fairline.models import Model

FitOutput = Annotated[Path | None, Parameter(help="Write the fit to this file. Default: where its model looks for it.")]


def calibrate(
    *,
    output: FitOutput = None,
    json_output: Json = False,
    store: StoreFolder = None,
    connection: ConnectionOptions = Connection(),
) -> None:
    """Fit how often markets at each price came true, and report whether that beats the price."""
    from fairline.config.model_settings import model_settings
    from fairline.models.calibrated import FILE
    from fairline.output import terminal
    from fairline.scoring.calibration import fit_curves, price_history

    opened = open_store(read_settings(connection), store)
    curves = fit_curves(price_history(opened), datetime.now(UTC))
    warn_about_damage(opened)
    _save(curves, output, model_settings().data_folder / FILE, None if json_output else terminal.curves_report(curves))


def blend(
    *,
    output: FitOutput = None,
    json_output: Json = False,
    store: StoreFolder = None,
    connection: ConnectionOptions = Connection(),
) -> None:
    """Fit a weight for each model beside the price, from settled markets."""
    import polars as pl

    from fairline.config.model_settings import model_settings
    from fairline.market.frame import empty_markets, with_probabilities
    from fairline.models import group_by_evidence
    from fairline.models.blend import FILE
    from fairline.output import terminal
    from fairline.scoring.blending import fit_pool, read_opinions

    opened, now = open_store(read_settings(connection), store), datetime.now(UTC)
    recorded = read_opinions(opened)
    warn_about_damage(opened)
    models = _load_installed(recorded["model"].unique(maintain_order=True).to_list())
    tickers = recorded["ticker"].unique().to_list()
    facts = opened.read("facts", where=pl.col("ticker").is_in(tickers))
    markets = facts.unique("ticker", keep="last").with_columns(status=pl.lit("active"))
    markets = pl.concat([empty_markets(), markets.drop("seen_ts", "source")], how="diagonal_relaxed")
    groups = group_by_evidence(models, with_probabilities(markets), now)
    pool = fit_pool(recorded, groups, now)
    _save(pool, output, model_settings().data_folder / FILE, None if json_output else terminal.pool_report(pool))


def _load_installed(names: list[str]) -> "list[Model]":
    from fairline.config.model_settings import model_settings
    from fairline.models import list_models, load

    models: list[Model] = []
    settings = model_settings()
    known = {entry.name for entry in list_models(settings)}
    for name in names:
        if name not in known:
            note(f"{name} is not an installed model, so it gets no weight")
            continue
        try:
            models.append(load(name, settings))
        except UsageError as error:
            note(f"{name} gets no weight: {error.message}")
    return models


def _save(fitted: "msgspec.Struct", output: Path | None, default: Path, report: "RenderableType | None") -> None:
    """Write a fit and show it, as JSON if there is no report."""
    import msgspec

    from fairline.output.console import show
    from fairline.output.files import write_whole

    target, content = output or default, msgspec.json.encode(fitted)
    if output is None:
        target.parent.mkdir(parents=True, exist_ok=True)
    write_whole(target, content)
    if report is None:
        deliver(msgspec.json.format(content) + b"\n", None)
    else:
        show(report)
    note(f"Wrote {target}")
