"""The exported names of each package are sorted, exist, and are few."""

import importlib

import pytest


@pytest.mark.parametrize("name", ["fairline.kalshi", "fairline.models", "fairline.sim", "fairline.sources"])
def test_all_is_sorted_exported_and_small(name):
    module = importlib.import_module(name)
    assert module.__all__ == sorted(module.__all__, key=lambda n: (not n.isupper(), not n[0].isupper(), n))
    assert all(hasattr(module, exported) for exported in module.__all__)
    assert len(module.__all__) <= 30
