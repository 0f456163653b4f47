"""Models turn markets and recorded bytes into probabilities."""

from fairline.models.checks import usable
from fairline.models.protocol import Model
from fairline.models.registry import ENTRY_POINTS, Entry, about, inputs, installed, load, voices
from fairline.models.table import TableModel

__all__ = ["ENTRY_POINTS", "Entry", "Model", "TableModel", "about", "inputs", "installed", "load", "usable", "voices"]
