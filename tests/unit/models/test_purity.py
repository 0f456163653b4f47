"""No installed model touches disk, clock, network or environment once it is built."""

import json
import os
import subprocess
import sys
from importlib.metadata import entry_points

import pytest

BUILT_IN = sorted(point.name for point in entry_points(group="fairline.models") if point.value.startswith("fairline."))
SERIES = {
    "elo": "KXMLBGAME",
    "consensus": "KXMLBGAME",
    "diffusion": "KXBTC",
    "weather": "KXHIGHNY",
    "polls": "SENATEOH",
}

SCRIPT = """
import builtins, datetime, json, os, sys, time
from pathlib import Path
import polars as pl
from fairline.config.model_settings import ModelSettings
from fairline.errors import FairlineError
from fairline.market.frame import MARKETS
from fairline.models import load
from fairline.models.isolation import isolate
from fairline.sources import Payload

name, series, folder = sys.argv[1:]
model = load(name, ModelSettings(Path(folder), Path(folder)))
now = datetime.datetime(2026, 7, 10, 16, 30, tzinfo=datetime.timezone.utc)
close = now + datetime.timedelta(hours=1)
row = dict.fromkeys(MARKETS) | {
    "ticker": f"{series}-26JUL1013-A", "event_ticker": f"{series}-26JUL1013", "series_ticker": series,
    "status": "active", "market_type": "binary", "yes_bid_u": 400_000, "yes_ask_u": 420_000, "close_ts": close,
    "strike_type": "greater", "floor_strike": 60.0,
}
frame = pl.DataFrame([row], schema=MARKETS)
touched = []

def refuse(what):
    def call(*_, **__):
        touched.append(what)
        raise AssertionError(what)
    return call

class NoClock(datetime.datetime):
    now = utcnow = today = refuse("clock")

real_environment = os.environ
class Environment(dict):
    # Libraries may read their own settings.
    def __getitem__(self, name):
        frame = sys._getframe(1)
        while frame.f_globals["__name__"] in ("os", "_collections_abc", "__main__"):
            frame = frame.f_back
        if frame.f_globals["__name__"].startswith("fairline"):
            refuse("environment")()
        return real_environment[name]

    def get(self, name, default=None):
        try:
            return self[name]
        except KeyError:
            return default

    def __contains__(self, name):
        return self.get(name) is not None

def strip(module):
    if getattr(module, "datetime", None) is datetime.datetime:
        module.datetime = NoClock

time.time = time.time_ns = refuse("clock")
for module_name, module in list(sys.modules.items()):
    if module_name.startswith("fairline.models"):
        strip(module)
seen = []
with isolate():
    os.environ = Environment()
    try:
        for _ in range(2):
            covered = frame.filter(model.covers(frame))
            requests = list(model.requests(covered, now)) + list(model.requests(frame.clear(), now))
            payloads = {request: Payload(request, now, b"{}") for request in requests}
            try:
                model.predict(covered, payloads, now)
            except FairlineError as error:
                seen.append(error.message)
    finally:
        os.environ = real_environment
print(json.dumps({"touched": touched, "covered": covered.height, "requests": len(requests), "errors": seen}))
"""


@pytest.mark.parametrize("name", BUILT_IN)
def test_an_installed_model_uses_only_what_it_is_given(name, tmp_path):
    series = SERIES.get(name, "KXANY")
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, name, series, str(tmp_path)], capture_output=True, text=True, env={**os.environ}
    )
    assert run.returncode == 0, run.stderr[-2_000:]
    assert json.loads(run.stdout)["touched"] == []


def test_every_built_in_model_is_checked():
    assert {"blend", "calibrated", "coherent", "consensus", "diffusion", "elo", "polls", "weather"} <= set(BUILT_IN)


def test_finding_models_imports_neither_the_models_nor_their_libraries():
    code = (
        "import sys, fairline.models.registry;"
        "heavy = ('scipy', 'numba', 'holidays', 'fairline.models.sports', 'fairline.models.prices.model');"
        "print([name for name in heavy if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
