"""`models`: the installed models."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from fairline.cli.output import FormatOptions, emit
from fairline.errors import UsageError

if TYPE_CHECKING:
    from fairline.models.registry import Entry


def models(*, output: FormatOptions = FormatOptions()) -> None:
    """List the installed models: name, version, origin, description and inputs."""
    from fairline.config.model_settings import model_settings
    from fairline.models import list_models

    rows = [_describe(entry, datetime.now(UTC)) for entry in list_models(model_settings())]
    emit(output, table=lambda: _print_models(rows), document=lambda: rows, rows=lambda: rows)


def _print_models(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        print(f"{row['name']}  {row['version'] or '–'}  {row['origin']}  {row['problem'] or row['about']}")
        for item in row["inputs"]:
            print(f"    reads {item['source']} {item['path'] or item['key']} ({_age(item)})")
    print("Also: --probabilities FILE, and --model path/to/file.py:Name for a model that is not installed.")


def _describe(entry: "Entry", now: datetime) -> dict[str, Any]:
    from fairline.config.connect import sources_of
    from fairline.models import list_inputs, summary_of

    row: dict[str, Any] = {
        "name": entry.name,
        "version": None,
        "origin": entry.origin,
        "about": "",
        "inputs": [],
        "problem": None,
    }
    try:
        model = entry.load()
    except UsageError as error:
        return row | {"problem": str(error)}
    read = [asdict(item) for item in list_inputs(model, now, sources_of())]
    return row | {"version": model.version, "about": summary_of(model), "inputs": read}


def _age(item: dict[str, Any]) -> str:
    if item["age_s"] is not None:
        return f"{item['age_s'] / 3600:.1f} h old"
    return "fetched when needed" if item["source"] == "https" else "missing"
