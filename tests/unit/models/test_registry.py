import io
from datetime import UTC, datetime, timedelta
from importlib.metadata import EntryPoint
from pathlib import Path

import polars as pl
import pytest

from fairline import models
from fairline.config.model_settings import ModelSettings, model_settings
from fairline.errors import InputError, UsageError
from fairline.market.frame import MARKETS as COLUMNS
from fairline.market.frame import PREDICTIONS
from fairline.models import Model, TableModel, load, registry
from fairline.models.registry import group_by_evidence, list_inputs
from fairline.sources import Payload, Request, Shelf, Sources

NOW = datetime(2026, 11, 22, tzinfo=UTC)
MARKETS = pl.DataFrame({"ticker": ["A", "B", "C"]})


def predict(content: bytes | str, markets=MARKETS) -> pl.DataFrame:
    model = TableModel(Path("mine.csv"))
    body = content.encode() if isinstance(content, str) else content
    (request,) = model.requests(markets, NOW)
    return model.predict(markets, {request: Payload(request, NOW, body)}, NOW)


def notes(content) -> list[str]:
    return predict(content)["note"].drop_nulls().to_list()


def test_a_table_is_a_model():
    assert isinstance(TableModel(Path("mine.csv")), Model)


def test_good_rows_become_predictions():
    result = predict("ticker,p,p_sd\nA,0.5,0.1\nB,0.25,\n")
    assert result.schema == PREDICTIONS
    assert result.select("ticker", "p", "p_sd").rows() == [("A", 0.5, 0.1), ("B", 0.25, None)]
    assert result["note"].null_count() == 2


def test_columns_are_found_in_any_order_and_case_with_spaces_and_bom():
    result = predict("\ufeffP , Ticker ,extra\n 0.5 , A ,x\n")
    assert result.select("ticker", "p").rows() == [("A", 0.5)]


def test_each_unusable_line_is_reported_by_number_and_the_rest_is_used():
    content = (
        "ticker,p,p_sd\nA,0.5,\nB,1.7,\nZ,0.5,\nA,0.6,\n,0.5,\nC,abc,\nC,,\nC,nan,\nC,0.4,-1\nC,0.4,x\nC,0.3,0.1\n"
    )
    result = predict(content)
    assert result.filter(pl.col("p").is_not_null()).select("ticker", "p").rows() == [("A", 0.5), ("C", 0.3)]
    assert notes(content)[:6] == [
        "line 3: B: p = '1.7' is not a probability",
        "line 4: Z: not among the 3 markets scanned",
        "line 5: A: listed before; first used",
        "line 6: no ticker",
        "line 7: C: p = 'abc' is not a probability",
        "line 8: C: p = '' is not a probability",
    ]
    assert "line 10: C: p_sd = '-1' is not a standard deviation" in notes(content)


def test_a_bad_line_does_not_use_up_its_ticker_and_blank_lines_are_nothing():
    result = predict("ticker,p\nA,oops\n\nA,0.5\n")
    assert result["p"].to_list() == [None, 0.5]
    assert notes("ticker,p\nA,oops\n\nA,0.5\n") == ["line 2: A: p = 'oops' is not a probability"]


def test_probabilities_of_0_and_1_are_accepted():
    assert predict("ticker,p\nA,0\nB,1\n")["p"].to_list() == [0.0, 1.0]


def test_parquet_is_recognised_by_its_content_and_counted_by_row():
    buffer = io.BytesIO()
    pl.DataFrame({"ticker": ["A", "Z"], "p": [0.5, 0.5]}).write_parquet(buffer)
    result = predict(buffer.getvalue())
    assert result["p"].to_list() == [0.5, None]
    assert result["note"].to_list()[1] == "row 2: Z: not among the 3 markets scanned"


@pytest.mark.parametrize(
    "content,sentence",
    [
        ("a,b\n1,2\n", "has no column ticker and p"),
        ("ticker\nA\n", "has no column p"),
        (b"", "neither CSV nor Parquet"),
        (b"PAR1 but not really", "neither CSV nor Parquet"),
    ],
)
def test_a_file_that_is_not_a_table_is_refused(content, sentence):
    with pytest.raises(InputError, match=sentence):
        predict(content)


def entry(value: str) -> list[EntryPoint]:
    return [EntryPoint("stub", value, registry.ENTRY_POINTS)]


class _Dist:
    def __init__(self, name):
        self.name, self.version = name, "1.0"


def from_dist(name, value, dist):
    point = EntryPoint(name, value, registry.ENTRY_POINTS)
    vars(point).update(dist=_Dist(dist))
    return point


def test_a_name_claimed_by_two_packages_is_refused_unless_one_is_built_in(monkeypatch):
    points = [
        from_dist("twin", "one:M", "first"), from_dist("twin", "two:M", "second"),
        from_dist("elo", "fairline.models.sports.elo:EloModel", "fairline"), from_dist("elo", "strange:M", "strange"),
    ]  # fmt: skip
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    with pytest.raises(UsageError, match="'twin' is provided by .* and by .*"):
        load("twin", model_settings())
    assert type(load("elo", model_settings())).__module__ == "fairline.models.sports.elo"
    assert [entry.origin for entry in registry.list_models(model_settings())] == [
        "fairline 1.0",
        "strange 1.0",
        "first 1.0",
        "second 1.0",
    ]


@pytest.mark.parametrize("asked", [None, ["abc"], [Request("file", "a\0b")], 5])
def test_a_model_with_invalid_requests_is_listed_like_any_other(asked):
    class Odd:
        name = version = "odd"

        def covers(self, markets):
            return pl.lit(value=True)

        def requests(self, markets, asof):
            return asked

        def predict(self, markets, payloads, asof):
            return markets

    assert all(each.age_s is None for each in list_inputs(Odd(), NOW))
    assert group_by_evidence([Odd()], pl.DataFrame(schema=COLUMNS), NOW) == [["odd"]]


def test_an_unknown_model_is_refused_with_the_installed_names():
    with pytest.raises(UsageError, match="Installed models:"):
        models.load("nonsense", model_settings())


@pytest.mark.parametrize(
    "value,sentence",
    [
        ("no_such_module:X", "cannot be loaded"),
        ("pathlib:Path", "lacks name, version"),
        ("json:nothing", "cannot be loaded"),
    ],
)
def test_a_broken_model_is_named_with_its_origin(monkeypatch, value, sentence):
    monkeypatch.setattr(registry, "entry_points", lambda group: entry(value))
    with pytest.raises(UsageError, match=sentence):
        models.load("stub", model_settings())


def test_nothing_is_imported_until_a_model_is_used(monkeypatch):
    monkeypatch.setattr(registry, "entry_points", lambda group: entry("no_such_module:X"))
    assert [e.name for e in models.list_models(model_settings())] == ["stub"]


def test_requests_are_values():
    assert Request("file", "x") == Request("file", "x")
    assert "secret" not in repr(Payload(Request("file", "x"), NOW, b"secret"))
    assert repr(Request("https", "https://odds.test/v4?apiKey=secret")) == "Request('https', 'https://odds.test/v4')"


def test_inputs_are_listed_once_with_the_age_of_the_cached_copy(tmp_path):
    shelf = Shelf(tmp_path)
    match = {
        (i.source, i.key): i.age_s for i in list_inputs(load("weather", model_settings()), NOW, Sources(cache=shelf))
    }
    assert match == {
        ("https", "https://previous-runs-api.open-meteo.com/v1/forecast"): None,
        ("https", "https://mesonet.agron.iastate.edu/json/cli.py"): None,
    }
    asked = load("weather", model_settings()).requests(pl.DataFrame(schema=COLUMNS), NOW)
    for minutes, request in enumerate(asked[:3]):
        shelf.put(Payload(request, NOW - timedelta(minutes=minutes), b"{}"))
    ages = [i.age_s for i in list_inputs(load("weather", model_settings()), NOW, Sources(cache=shelf))]
    assert ages == [120.0, 60.0], "of several the oldest"


def test_a_built_in_model_is_built_without_arguments_or_from_settings(tmp_path):
    (tmp_path / "subjects.toml").write_text('[KXNEW]\nkind = "price"\nsubject = "SOL"\n')
    rows = pl.DataFrame({"series_ticker": ["KXNEW"], "status": ["active"]})
    plain, own = load("diffusion"), load("diffusion", ModelSettings(tmp_path, tmp_path))
    assert [rows.filter(model.covers(rows)).height for model in (plain, own)] == [0, 1]
    for entry in models.list_models():
        assert isinstance(entry.load(), Model)


def test_a_broken_table_of_the_user_names_file_and_row(tmp_path):
    (tmp_path / "teams.toml").write_text("[mlb]\nties = 5\n")
    with pytest.raises(UsageError, match="'elo' of fairline .* cannot be loaded .*teams.toml: mlb: Expected `bool`"):
        load("elo", ModelSettings(tmp_path, tmp_path))
