"""`calibrate` and `blend`: models fitted on what a watch has recorded."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from fairline.api.options import Connection
from fairline.cli.options import ConnectionOptions, StoreFolder
from fairline.cli.output import PrintOptions, emit
from fairline.cli.settings import open_store, read_settings, warn_about_damage
from fairline.cli.terminal import note
from fairline.errors import InputError, UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from fairline.models import Model
    from fairline.models.curve import Curves
    from fairline.models.pool import Pool
    from fairline.store.store import Store

FitOutput = Annotated[Path | None, Parameter(help="Write the fit to this file. Default: where its model looks for it.")]


def calibrate(
    *,
    output: FitOutput = None,
    printed: PrintOptions = PrintOptions(),
    store: StoreFolder = None,
    connection: ConnectionOptions = Connection(),
) -> None:
    """Fit how often markets at each price came true, and report whether that beats the price."""
    import msgspec

    from fairline.models.calibrated import FILE
    from fairline.output import records
    from fairline.scoring.calibration import fit_curves, price_history

    opened = open_store(read_settings(connection), store)
    curves = fit_curves(price_history(opened), datetime.now(UTC))
    warn_about_damage(opened)
    curves = msgspec.structs.replace(curves, exchange=opened.exchange)
    _save(curves, output or _default_path(opened, FILE), printed, records.curves_report(curves))


def blend(
    *,
    output: FitOutput = None,
    printed: PrintOptions = PrintOptions(),
    store: StoreFolder = None,
    connection: ConnectionOptions = Connection(),
) -> None:
    """Fit how much weight and belief each model earns beside the market, from settled markets."""
    import msgspec
    import polars as pl
    from rich.console import Group

    from fairline.api.beliefs import load_beliefs
    from fairline.market.frame import empty_markets, with_probabilities
    from fairline.models import group_by_evidence
    from fairline.models.blend import FILE
    from fairline.output import records
    from fairline.scoring.blending import fit_pool, read_opinions

    settings, now = read_settings(connection), datetime.now(UTC)
    opened = open_store(settings, store)
    recorded = read_opinions(opened)
    warn_about_damage(opened)
    models = _load_installed(recorded["model"].unique(maintain_order=True).to_list())
    tickers = recorded["ticker"].unique().to_list()
    facts = opened.read("facts", where=pl.col("ticker").is_in(tickers))
    markets = facts.unique("ticker", keep="last").with_columns(status=pl.lit("active"))
    markets = pl.concat([empty_markets(), markets.drop("seen_ts", "source")], how="diagonal_relaxed")
    groups = group_by_evidence(models, with_probabilities(markets), now)
    pool = fit_pool(recorded, groups, now)
    pool = msgspec.structs.replace(pool, exchange=opened.exchange)
    beliefs = load_beliefs(settings, 1.0, note, folder=store, fresh=True)
    earned = [record for record in beliefs.records if record.source == "store"]
    report = Group(records.pool_report(pool), records.belief_report(earned))
    _save(pool, output or _default_path(opened, FILE), printed, report)


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


def _default_path(store: "Store", file: str) -> Path:
    """Return where the model looks for its fit on this exchange's markets."""
    from fairline.config.model_settings import model_settings

    settings = model_settings(store.exchange)
    path = settings.data_folder / settings.fit_key(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _save(fitted: "Curves | Pool", target: Path, printed: PrintOptions, report: "RenderableType") -> None:
    """Show a fit and write it."""
    import msgspec

    from fairline.output.console import show
    from fairline.output.files import write_output

    content = msgspec.json.encode(fitted)
    fields = msgspec.to_builtins(fitted)
    emit(printed, table=lambda: show(report), document=lambda: fields, rows=lambda: [fields])
    _check_replaced(target, content)
    write_output(target, content)
    note(f"Wrote {target}")


def _check_replaced(target: Path, content: bytes) -> None:
    """Raise `InputError` if an empty fit, or one on another exchange, would replace a good one."""
    old, new = _read_fit(target.read_bytes() if target.is_file() else b""), _read_fit(content)
    if not _is_fitted(old):
        return
    if not _is_fitted(new):
        raise InputError(f"the new fit is empty: kept {target}", remedy="Watch until more markets have settled")
    if old.get("exchange") and old["exchange"] != new["exchange"]:
        raise InputError(
            f"{target} was fitted on {old['exchange']}, this fit on {new['exchange']}", remedy="Choose another --output"
        )


def _read_fit(content: bytes) -> dict[str, Any]:
    try:
        fit = json.loads(content)
    except ValueError:
        return {}
    return fit if isinstance(fit, dict) else {}


def _is_fitted(fit: dict[str, Any]) -> bool:
    return bool(fit.get("curves") or fit.get("voices"))
