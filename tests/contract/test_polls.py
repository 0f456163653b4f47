"""Polls of 2020 against FiveThirtyEight's own averages of the same days, and against what came."""

from datetime import UTC, date, datetime

import numpy as np
import polars as pl
import pytest

from fairline.config.model_settings import model_settings
from fairline.market.frame import MARKETS
from fairline.models import load
from fairline.models.politics.election import DRIFT_ALL, DRIFT_PLACE, average, simulate
from fairline.models.politics.polls import read_polls
from fairline.models.politics.states import electors, place_codes
from fairline.sources import Payload

# The states and districts that Joseph Biden won, 306 electors (Federal Election Commission, official results of 2020).
WON = set(
    "AZ CA CO CT DE DC GA HI IL ME ME-1 MD MA MI MN NE-2 NV NH NJ NM NY OR PA RI VT VA WA WI".split()  # noqa: SIM905
)


@pytest.fixture(scope="module")
def folder(shared):
    return shared / "538_polls_and_averages_2020"


@pytest.fixture(scope="module")
def polls(folder):
    result, faults = read_polls((folder / "president_polls_2020-09-22.csv").read_bytes())
    assert [fault.partition(" ")[2][:28] for fault in faults] == ["questions ask about others t"], "of the primaries"
    return result


@pytest.fixture(scope="module")
def past(folder):
    rows = pl.read_csv(folder / "state_results_1976_2016.csv").filter(pl.col("year") == 2016)
    result = {state: (100 * dem, 100 * rep) for state, dem, rep in rows.select("state", "dem", "rep").iter_rows()}
    return result | {place: result[place[:2]] for place in ("ME-1", "ME-2", "NE-1", "NE-2", "NE-3")}


@pytest.fixture(scope="module")
def published(folder):
    """Their averages by day and place: `dem` and `rep`."""
    rows = pl.read_csv(folder / "presidential_poll_averages_2020_to_2020-09-22.csv.gz")
    sides = {"Joseph R. Biden Jr.": "dem", "Donald Trump": "rep"}
    rows = rows.filter(pl.col("candidate_name").is_in(list(sides))).with_columns(
        day=pl.col("modeldate").str.to_date("%m/%d/%Y"), place=pl.col("state").replace(place_codes()),
        side=pl.col("candidate_name").replace(sides),
    )  # fmt: skip
    return rows.pivot("side", index=["place", "day"], values="pct_estimate")


def apart(polls, past, published, day):
    result = average(polls, day, past).join(published.filter(pl.col("day") == day), on="place", suffix="_theirs")
    return np.abs(np.r_[result["dem"] - result["dem_theirs"], result["rep"] - result["rep_theirs"]])


def test_averages_are_within_a_third_of_a_point_of_the_published_ones(polls, past, published):
    off = apart(polls, past, published, date(2020, 9, 22))
    assert len(off) == 100, "both candidates in all fifty places that were published"
    assert np.median(off) <= 0.35
    assert np.quantile(off, 0.9) <= 1.0


@pytest.mark.parametrize(("day", "median"), [((2020, 9, 1), 0.45), ((2020, 8, 1), 0.65), ((2020, 7, 1), 0.65)])
def test_averages_of_earlier_days_with_fewer_polls_differ_more(polls, past, published, day, median):
    assert np.median(apart(polls, past, published, date(*day))) <= median


def test_drift_matches_the_published_averages(published):
    margins = published.sort("day").with_columns(margin=pl.col("dem") - pl.col("rep"))
    wide = margins.pivot("place", index="day", values="margin").sort("day")
    for lag in (7, 28):
        nation = (wide["US"] - wide["US"].shift(lag)).drop_nulls().to_numpy()
        assert np.sqrt(np.mean(nation**2) / lag) == pytest.approx(DRIFT_ALL, abs=0.02)
        own = [((wide[p] - wide["US"]) - (wide[p] - wide["US"]).shift(lag)).drop_nulls().to_numpy()
               for p in wide.columns if p not in ("day", "US")]  # fmt: skip
        squares = np.mean([np.mean(change**2) for change in own if len(change) > 30])
        assert np.sqrt(squares / lag) == pytest.approx(DRIFT_PLACE, abs=0.04)


def test_states_six_weeks_before_the_election_are_scored_against_results(polls, past):
    result = average(polls, date(2020, 9, 22), past).filter(pl.col("place").is_in(list(electors(2020))))
    margin, weight = (result["dem"] - result["rep"]).to_numpy(), result["weight"].to_numpy()
    p = np.array([simulate(margin[i:i + 1], weight[i:i + 1], np.ones(1, dtype=np.int64), 42).mean()
                  for i in range(result.height)])  # fmt: skip
    came = result["place"].is_in(list(WON)).to_numpy()
    assert np.mean((p - came) ** 2) == pytest.approx(0.060, abs=0.003), "one election is no proof"
    assert ((p > 0.5) == came).mean() > 0.9


def test_the_presidency_is_priced_six_weeks_before(folder):
    now = datetime(2020, 9, 22, 16, tzinfo=UTC)
    rows = [dict.fromkeys(MARKETS) | {
        "ticker": f"KXPRESPARTY-2020-{code}", "event_ticker": "KXPRESPARTY-2020", "status": "active",
        "market_type": "binary", "yes_sub_title": name, "close_ts": datetime(2020, 11, 4, tzinfo=UTC),
    } for code, name in (("D", "Democratic"), ("R", "Republican"))]  # fmt: skip
    model, markets = load("polls", model_settings()), pl.DataFrame(rows, schema=MARKETS)
    bodies = [
        (folder / name).read_bytes() for name in ("president_polls_2020-09-22.csv", "state_results_1976_2016.csv")
    ]
    requests = model.requests(markets, now)
    result = model.predict(markets, {r: Payload(r, now, b) for r, b in zip(requests, bodies, strict=True)}, now)
    assert [note.partition(" ")[2][:28] for note in result["note"].drop_nulls()] == ["questions ask about others t"]
    result = result.drop_nulls("p")
    assert result["p"].sum() == pytest.approx(1.0)
    assert result["p"][0] == pytest.approx(0.936, abs=0.005)
    assert 0.03 < result["p_sd"][0] < 0.12
