"""Models turn markets and recorded bytes into probabilities."""

from fairline.models.checks import split_usable
from fairline.models.protocol import Model
from fairline.models.registry import (
    ENTRY_POINTS,
    Entry,
    group_by_evidence,
    list_inputs,
    list_models,
    load,
    summary_of,
)
from fairline.models.table import TableModel

__all__ = [
    "ENTRY_POINTS",
    "Entry",
    "Model",
    "TableModel",
    "group_by_evidence",
    "list_inputs",
    "list_models",
    "load",
    "split_usable",
    "summary_of",
]
