"""Models that learn are fitted on settlements that had been published, whatever the user's own files say."""

import msgspec
import polars as pl
import pytest

from fairline.backtesting.fits import FittedInputs, fit_calibration, fit_models
from fairline.models.blend import BlendModel
from fairline.models.calibrated import CalibratedModel
from fairline.models.curve import Curves
from fairline.sources import Payload, Request
from tests.unit.backtesting.recorded import BEGIN, HOUR, record


class Learns:
    """Remembers what it was fitted on."""

    name = "learns"
    version = "1"
    rows = 0

    def covers(self, markets):
        return pl.lit(value=True)

    def requests(self, markets, asof):
        return []

    def predict(self, markets, payloads, asof):
        raise NotImplementedError

    def fit(self, history, asof):
        fitted = Learns()
        fitted.rows = history["ticker"].n_unique()
        return fitted


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return record(tmp_path_factory.mktemp("fits") / "store")


def test_a_model_that_learns_sees_more_settled_markets_as_time_passes(store):
    seen = [fit_models([Learns()], store, BEGIN + hours * HOUR)[0].rows for hours in (0, 20, 47)]
    settled = store.read("settlements", until=BEGIN + 47 * HOUR)["ticker"].n_unique()
    assert seen[0] == 0 < seen[1] < seen[2] <= settled


def test_the_users_own_calibration_is_replaced(store):
    curves = fit_calibration([CalibratedModel()], store, BEGIN + 40 * HOUR)
    request = CalibratedModel().requests(pl.DataFrame(), BEGIN)[0]

    class Stored:
        def known_at(self, requests, at):
            return {each: Payload(each, at, b"the user's own file") for each in requests}

    known = FittedInputs(Stored(), curves).known_at([request, Request("user", "other.csv")], BEGIN + 41 * HOUR)
    assert msgspec.json.decode(known[request].body, type=Curves).fitted_ts == BEGIN + 40 * HOUR
    assert known[Request("user", "other.csv")].body == b"the user's own file"


def test_without_a_calibrated_model_nothing_is_replaced(store):
    assert fit_calibration([Learns()], store, BEGIN + 40 * HOUR) is None


def test_blend_pools_the_other_models_of_the_run(store):
    (blend, learns) = fit_models([BlendModel(), Learns()], store, BEGIN + 40 * HOUR)
    assert isinstance(blend, BlendModel)
    assert blend.requests(pl.DataFrame(), BEGIN) == []
    assert learns.rows > 0
