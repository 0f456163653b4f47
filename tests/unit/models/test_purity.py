"""No installed model touches disk, clock, network or environment once it is built."""

import json
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
INSTALLED = sorted(point.name for point in entry_points(group="fairline.models"))


@pytest.mark.parametrize("name", INSTALLED)
def test_an_installed_model_uses_only_what_it_is_given(name, tmp_path):
    command = [sys.executable, "-m", "tests.unit.models.purity_script", name, str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={**os.environ})
    assert run.returncode == 0, run.stderr[-2_000:]
    result = json.loads(run.stdout)
    assert result["touched"] == []
    assert result["priced"] > 0, "a model that prices nothing proves nothing"


def test_every_built_in_model_is_checked():
    assert {"blend", "calibrated", "coherent", "consensus", "diffusion", "elo", "polls", "weather"} <= set(INSTALLED)


def test_finding_models_imports_neither_the_models_nor_their_libraries():
    code = (
        "import sys, fairline.models.registry;"
        "heavy = ('scipy', 'numba', 'holidays', 'fairline.models.sports', 'fairline.models.prices.model');"
        "print([name for name in heavy if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
