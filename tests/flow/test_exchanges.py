"""Nothing of one exchange is used for another: stores, fits and services carry their exchange."""

import json

import pytest

from fairline.cli import fitting
from fairline.config.model_settings import ModelSettings
from fairline.errors import InputError
from fairline.models.calibrated import CalibratedModel
from tests.flow.test_cli import fairline, one_line  # noqa: F401  a fixture

FIT = {"fitted_ts": "2026-11-01T00:00:00Z", "curves": {"any, 24": {}}, "exchange": "production"}


def test_a_watch_of_another_exchange_is_refused_the_store(fairline, world, tmp_path):  # noqa: F811
    store = tmp_path / "store"
    store.mkdir()
    (store / "store.json").write_text('{"version": 2, "exchange": "production"}')
    done = fairline("watch", "--exchange", world.url, "--store", store, "--scans", "1", "--port", "0")
    one_line(done, 1, "holds markets of production, not of 127.0.0.1:")


def test_a_service_names_the_exchange_of_the_environment(fairline, monkeypatch):  # noqa: F811
    monkeypatch.setenv("FAIRLINE_EXCHANGE", "demo")
    unit = fairline("service", "install", "--dry-run", "--", "--model", "elo").stdout
    assert '"--exchange" "demo"' in unit
    assert "/fairline/demo" in unit


def test_an_empty_fit_replaces_nothing(tmp_path):
    target = tmp_path / "calibration.json"
    target.write_text(json.dumps(FIT))
    with pytest.raises(InputError, match="the new fit is empty: kept"):
        fitting._check_replaced(target, json.dumps(FIT | {"curves": {}}).encode())
    fitting._check_replaced(target, json.dumps(FIT).encode())


def test_a_fit_on_another_exchange_is_not_replaced(tmp_path):
    target = tmp_path / "blend.json"
    target.write_text(json.dumps({"voices": [{}], "exchange": "production"}))
    with pytest.raises(InputError, match="was fitted on production, this fit on demo. Choose another --output"):
        fitting._check_replaced(target, json.dumps({"voices": [{}], "exchange": "demo"}).encode())


def test_each_exchange_has_its_own_fits(tmp_path):
    keys = {name: ModelSettings(tmp_path, tmp_path, name).fit_key("calibration.json") for name in
            ("", "production", "demo", "127.0.0.1:8080")}  # fmt: skip
    assert list(keys.values()) == ["calibration.json", "calibration.json", "demo/calibration.json",
                                   "127.0.0.1-8080/calibration.json"]  # fmt: skip


def test_a_fit_on_another_exchange_is_refused_by_its_model(tmp_path):
    model = CalibratedModel.from_settings(ModelSettings(tmp_path, tmp_path, "demo"))
    [request] = model.requests(None, None)
    body = json.dumps(FIT | {"curves": {}}).encode()

    class Read:
        pass

    payload = Read()
    payload.body = body
    with pytest.raises(InputError, match="was fitted on production, not on demo"):
        model._curves({request: payload})
