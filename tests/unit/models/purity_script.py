"""Run one installed model on real kinds of markets while disk, network, clock and environment are refused.

Usage: purity_script.py MODEL FOLDER. Prints what the model touched and how many markets it priced, as JSON.
"""

import contextlib
import datetime
import json
import os
import sys
import time
from pathlib import Path

import msgspec
import polars as pl
import scipy.linalg  # models import SciPy late, and its import alone reads the clock
import scipy.optimize
import scipy.special
from benchmarks import models as inputs

from fairline.config.model_settings import ModelSettings
from fairline.errors import FairlineError, InputError
from fairline.market.frame import MARKETS, with_probabilities
from fairline.models import load
from fairline.models.isolation import isolate
from fairline.models.pool import Opinion, Pool

IMPORTED_BEFORE = (scipy.linalg, scipy.optimize, scipy.special)
REAL_ENVIRONMENT = os.environ
touched = []


def refuse(what):
    def call(*_, **__):
        touched.append(what)
        raise AssertionError(what)

    return call


class NoClock(datetime.datetime):
    now = utcnow = today = refuse("clock")


class Environment(dict):
    """Refuses the code of models. Libraries may read their own settings."""

    def __getitem__(self, name):
        frame = sys._getframe(1)
        while frame.f_globals["__name__"] in ("os", "_collections_abc", "__main__"):
            frame = frame.f_back
        if frame.f_globals["__name__"].startswith("fairline"):
            refuse("environment")()
        return REAL_ENVIRONMENT[name]

    def get(self, name, default=None):
        try:
            return self[name]
        except KeyError:
            return default

    def __contains__(self, name):
        return self.get(name) is not None


class Given(dict):
    def __missing__(self, request):
        raise InputError(f"{request.shown} is missing")


def rungs():
    close = inputs.NOW.replace(minute=0) + datetime.timedelta(hours=2)
    local = close.astimezone(inputs.ZoneInfo("America/New_York"))
    event = f"KXBTC-{local:%y%b%d%H}".upper()
    return [
        {"ticker": f"{event}-B{n}", "event_ticker": event, "series_ticker": "KXBTC", "status": "active",
         "market_type": "binary", "strike_type": "between", "floor_strike": 60_000.0 + 100 * n,
         "cap_strike": 60_099.99 + 100 * n, "close_ts": close}
        for n in range(5)
    ]  # fmt: skip


def markets():
    """Return games, elections, weather days and a ladder, all quoted on both sides."""
    inputs.GAMES, inputs.POLLS = 60, 600
    inputs.NOW = datetime.datetime(2026, 10, 2, 16, 20, tzinfo=datetime.UTC)
    rows = pl.concat([inputs.real_subjects(MARKETS.names()), pl.DataFrame(rungs())], how="diagonal_relaxed")
    quoted = rows.with_columns(
        yes_bid_u=pl.lit(400_000),
        yes_ask_u=pl.lit(410_000),
        yes_bid_size_cc=pl.lit(1_000),
        yes_ask_size_cc=pl.lit(1_000),
    )
    return with_probabilities(
        quoted.select(
            (pl.col(name) if name in quoted.columns else pl.lit(None)).cast(dtype).alias(name)
            for name, dtype in MARKETS.items()
        )
    )


def weights():
    return msgspec.json.encode(Pool(inputs.NOW, [Opinion(["elo"], 0.5, 0.1)], 900, 900, 0.1, 0.05, 0.15))


def payload(request):
    if request.key.endswith("blend.json"):
        return inputs.Payload(request, inputs.NOW, weights())
    return inputs.payload(request)


def main(name, folder):
    rows = markets()
    (folder / "blend.json").write_bytes(weights())
    model = load(name, ModelSettings(folder, folder))
    for module_name, module in list(sys.modules.items()):
        if module_name.startswith("fairline.models") and getattr(module, "datetime", None) is datetime.datetime:
            module.datetime = NoClock
    time.time = time.time_ns = refuse("clock")
    requests = run(lambda: [*model.requests(rows.filter(model.covers(rows)), inputs.NOW)])
    run(lambda: [*model.requests(rows.clear(), inputs.NOW)])
    given = Given({request: payload(request) for request in requests if inputs.known(request)})
    answer = run(lambda: model.predict(rows.filter(model.covers(rows)), given, inputs.NOW))
    run(lambda: predict_without_inputs(model, rows))
    print(json.dumps({"touched": touched, "priced": answer["p"].drop_nulls().len()}))


def predict_without_inputs(model, rows):
    with contextlib.suppress(FairlineError):
        model.predict(rows.filter(model.covers(rows)), Given(), inputs.NOW)


def run(action):
    with isolate():
        os.environ = Environment()  # noqa: B003 - for this block only
        try:
            return action()
        finally:
            os.environ = REAL_ENVIRONMENT  # noqa: B003 - the process's own again


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
