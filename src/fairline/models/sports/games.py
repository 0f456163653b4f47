"""Which game a market is about and whose win YES pays, by the exchange's own evidence, names last.

A market of a game names its team four times: by a target of the exchange, by the code at the end of its ticker, by the
outcome's name, and in its rules. Two that agree make a link; two that contradict each other leave the market unlinked,
with the reason. The event's milestone, if it has one, may also contradict, by its day or by which target is at home,
and says when the game starts if the ticker does not."""

from collections.abc import Mapping
from datetime import time

import polars as pl

from fairline.models.linking import in_new_york, ticker_day
from fairline.models.sports.teams import League, load_leagues, name_key, team_names

_LINKS: dict[str, pl.DataType | type[pl.DataType]] = {
    "ticker": pl.String,
    "league": pl.String,
    "day": pl.Date,
    "start_ts": pl.Datetime("us", "UTC"),
    "likely_ts": pl.Datetime("us", "UTC"),
    "before_ts": pl.Datetime("us", "UTC"),
    "number": pl.Int8,
    "home": pl.String,
    "away": pl.String,
    "side": pl.String,
    "confidence": pl.Float64,
    "evidence": pl.String,
    "reason": pl.String,
}
GAME_LINKS = pl.Schema(_LINKS)
"""`day` is the scheduled day in New York. `start_ts`, and `number`, which of two games on a day, are set only if the
ticker has them. `likely_ts` is when the game starts by ticker, milestone or expected answer. Before `before_ts`, the
earliest of these, it has not started, unless the exchange expects the answer later than usual. YES pays if `side`
(`home`, `away`, `tie`) is how the game ends. `reason` says why a market is not linked."""

_TICKER = r"^[A-Z0-9]+-\d\d[A-Z]{3}\d\d(\d{4})?([A-Z]+?)(?:(G)?([1-9]))?$"
_REGULATION_PREFIX = "Reg Time: "
SAME_START_MINUTES = 60
LIKELY_START_MINUTES = 150
GAME_LENGTH = pl.duration(hours=3)
GAME_MARGIN = pl.duration(hours=1)
"""Time between start and expected answer in the exchange's objects of 2026, and a margin."""
MAX_DAYS_TO_ANSWER = 3
"""The answer of a game is known within this many days; otherwise the times are not of one game."""
_EVIDENCE = ("target", "code", "name")


def link_games(markets: pl.DataFrame, leagues: Mapping[str, League] | None = None) -> pl.DataFrame:
    """Return GAME_LINKS of the markets (MARKETS columns) of the leagues' games, in their order."""
    leagues = load_leagues() if leagues is None else leagues
    names = team_names(leagues)
    rows = _with_ticker_facts(markets, leagues)
    rows = _with_teams(rows, names, leagues)
    rows = _with_milestones(rows)
    rows = _with_pairs(rows, names)
    rows = rows.with_columns(reason=_fault(), evidence=_evidence())
    return rows.with_columns(**_link_columns()).select(pl.col(name).cast(dtype) for name, dtype in GAME_LINKS.items())


def match_fixtures(links: pl.DataFrame, fixtures: pl.DataFrame) -> pl.DataFrame:
    """Return the links with the columns of the fixture that each is about, and a `reason` for links without one.

    Fixtures are `{league, day, start_ts, home, away, …}`, one row per game. Two games of a pair on one day are
    distinguished by their start or their number; otherwise neither is matched.
    """
    on = ["league", "day", "home", "away"]
    known = fixtures.with_columns(
        found=pl.lit(value=True), games=pl.len().over(on), nth=pl.col("start_ts").rank("ordinal").over(on)
    )
    linked = links.filter(pl.col("reason").is_null())
    pairs = linked.join(known, on=on, how="left", maintain_order="left", suffix="_fixture")
    pairs = pairs.with_columns(differs=_is_other_game())
    candidates = pairs.filter(~pl.col("differs") | (pl.col("games") == 1))
    candidates = candidates.with_columns(candidates=pl.len().over("ticker"))
    matches = candidates.with_columns(reason=_fixture_fault()).unique("ticker", keep="first", maintain_order=True)
    unmatched = linked.filter(~pl.col("ticker").is_in(matches["ticker"].to_list())).with_columns(
        reason=pl.lit("no known game starts at that time")
    )
    return pl.concat([matches, unmatched, links.filter(pl.col("reason").is_not_null())], how="diagonal")


def _is_other_game() -> pl.Expr:
    """Return whether a fixture of the same teams and day is not the linked game, by start, number or likely start."""
    fixture_ts, number = pl.col("start_ts_fixture"), pl.col("number")
    by_start = (pl.col("start_ts") - fixture_ts).dt.total_minutes().abs() > SAME_START_MINUTES
    by_likely_start = (pl.col("likely_ts") - fixture_ts).dt.total_minutes().abs() > LIKELY_START_MINUTES
    # If only one game of a doubleheader is known, it could be either.
    by_number = pl.when(number.is_not_null()).then((number != pl.col("nth")) | (pl.col("games") != 2))
    return pl.coalesce(by_start, by_number, by_likely_start, pl.lit(value=False))


def _fixture_fault() -> pl.Expr:
    several = pl.col("candidates") > 1
    return pl.coalesce(
        pl.when(pl.col("found").is_null()).then(pl.format("no game of {} at {} on {} is known", "away", "home", "day")),
        pl.when(several).then(pl.format("{} games of {} at {} on {}", "candidates", "away", "home", "day")),
        pl.when(pl.col("differs")).then(pl.lit("start time does not match the only known game")),
    )


def _with_ticker_facts(markets: pl.DataFrame, leagues: Mapping[str, League]) -> pl.DataFrame:
    """Return the markets of known series with day, start, pair, number and code as their tickers say."""
    facts = pl.DataFrame(
        [(lg.name, lg.series, lg.home == "first", lg.ties, lg.checked_on) for lg in leagues.values()],
        schema={
            "league": pl.String,
            "series_ticker": pl.String,
            "home_first": pl.Boolean,
            "ties": pl.Boolean,
            "checked_on": pl.String,
        },
        orient="row",
    )
    series = pl.coalesce("series_ticker", pl.col("event_ticker").str.split("-").list.first())
    rows = markets.with_columns(series_ticker=series).join(
        facts, on="series_ticker", how="inner", maintain_order="left"
    )
    parts = pl.col("event_ticker").str.extract_groups(_TICKER).struct
    rows = rows.with_columns(
        day=ticker_day(),
        clock=parts.field("1"),
        pair=parts.field("2"),
        number=pl.when(parts.field("3").is_not_null()).then(parts.field("4")).cast(pl.Int8),
        code=pl.col("ticker").str.strip_prefix(pl.col("event_ticker")).str.strip_prefix("-"),
    )
    clock = pl.col("clock").str
    time_of_day = pl.duration(
        hours=clock.slice(0, 2).cast(pl.Int32, strict=False), minutes=clock.slice(2).cast(pl.Int32, strict=False)
    )
    local = pl.col("day").cast(pl.Datetime("us")) + time_of_day
    in_zone = local.dt.replace_time_zone("America/New_York", ambiguous="null", non_existent="null")
    is_tie = pl.col("ties") & (pl.col("code") == "TIE")
    return rows.with_columns(start_ts=in_zone.dt.convert_time_zone("UTC"), tie=is_tie)


def _with_teams(rows: pl.DataFrame, names: pl.DataFrame, leagues: Mapping[str, League]) -> pl.DataFrame:
    """Return the team that each kind of evidence names, null where it names none that is known."""
    targets = pl.DataFrame(
        [(league.name, target, team) for league in leagues.values() for team, target in league.targets.items()],
        schema={"league": pl.String, "target": pl.String, "by_target": pl.String},
        orient="row",
    )
    listed = targets.rename({"target": "listed_target", "by_target": "team"})
    by_code = names.rename({"key": "code_key", "team": "by_code"})
    by_name = names.rename({"key": "outcome_key", "team": "by_name"})
    outcome = pl.col("yes_sub_title").str.strip_prefix(_REGULATION_PREFIX)
    rows = rows.with_columns(code_key=name_key(pl.col("code")), outcome_key=name_key(outcome))
    rows = rows.join(by_code, on=["league", "code_key"], how="left", maintain_order="left")
    rows = rows.join(by_name, on=["league", "outcome_key"], how="left", maintain_order="left")
    rows = rows.join(targets, on=["league", "target"], how="left", maintain_order="left")
    rows = rows.with_columns(team=pl.coalesce("by_target", "by_name", "by_code"), contradictory=_contradicts_itself())
    return rows.join(listed, on=["league", "team"], how="left", maintain_order="left")


def _with_milestones(rows: pl.DataFrame) -> pl.DataFrame:
    """Return what the event's milestone says, if it is of this game.

    Adds `by_milestone`, the side of the market's target, and `disowned`, whether the milestone does not have a team of
    the event; clears `milestone_ts` if it is of another game or a mere date.
    """
    target, home, away = pl.col("target"), pl.col("home_target"), pl.col("away_target")
    has_both = home.is_not_null() & away.is_not_null() & ~pl.col("tie")
    side = (
        pl.when(has_both & (target == home)).then(pl.lit("home"))
        .when(has_both & (target == away)).then(pl.lit("away"))
    )  # fmt: skip
    has_target = has_both & target.is_not_null()
    knows_a_team = side.is_not_null().any().over("event_ticker")
    # A milestone that has none of the teams is of something else.
    is_of_another = ~knows_a_team & has_target.any().over("event_ticker")
    moment = pl.col("milestone_ts")
    # A date alone is written as its midnight in UTC, which is the evening before in New York.
    is_mere_date = (moment.dt.time() == time(0)) & (moment.dt.date() == pl.col("day"))
    return rows.with_columns(
        by_milestone=side,
        disowned=(knows_a_team & has_target & side.is_null()).any().over("event_ticker"),
        milestone_ts=pl.when(~is_of_another & ~is_mere_date).then(moment),
    )


def _with_pairs(rows: pl.DataFrame, names: pl.DataFrame) -> pl.DataFrame:
    """Add `first` and `second`, the teams in the order of the ticker.

    A market's own code and that of another market of the event, or of a known team, make up the ticker's pair.
    """
    code, pair = pl.col("code"), pl.col("pair")
    length = code.str.len_chars()
    teams = rows.filter(~pl.col("tie")).select("league", "event_ticker", "ticker", "code", "pair", "team")
    rest_after = pair.str.slice(length)
    rest_before = pair.str.slice(0, pair.str.len_chars() - length)
    code_first = teams.filter(pair.str.starts_with(code)).with_columns(rest=rest_after, is_first=pl.lit(value=True))
    code_last = teams.filter(pair.str.ends_with(code)).with_columns(rest=rest_before, is_first=pl.lit(value=False))
    siblings = teams.select("event_ticker", rest="code", sibling="team").unique(["event_ticker", "rest"])
    known = names.rename({"team": "known"})
    splits = pl.concat([code_first, code_last]).with_columns(key=name_key(pl.col("rest")))
    splits = splits.join(known, on=["league", "key"], how="left").join(
        siblings, on=["event_ticker", "rest"], how="left"
    )
    splits = splits.with_columns(rival=pl.coalesce("sibling", "known")).drop_nulls(["rival", "team"])
    splits = splits.filter(pl.col("rival") != pl.col("team"))
    unique = splits.filter(pl.len().over("ticker") == 1).select(
        "event_ticker",
        first=pl.when("is_first").then("team").otherwise("rival"),
        second=pl.when("is_first").then("rival").otherwise("team"),
    )
    # All markets of an event must find the same pair; the tie belongs to that pair too.
    events = unique.group_by("event_ticker").agg(
        pl.col("first").first(), pl.col("second").first(), pairs=pl.struct("first", "second").n_unique()
    )
    return rows.join(events, on="event_ticker", how="left", maintain_order="left")


def _home() -> pl.Expr:
    return pl.when("home_first").then("first").otherwise("second")


def _side() -> pl.Expr:
    is_home = pl.col("team") == _home()
    return pl.when("tie").then(pl.lit("tie")).when(is_home).then(pl.lit("home")).otherwise(pl.lit("away"))


def _fault() -> pl.Expr:
    """Why a market is not linked, null if nothing contradicts."""
    return pl.coalesce(
        pl.when(pl.col("market_type") != "binary").then(pl.format("a {} market has no YES and NO", "market_type")),
        pl.when(pl.col("day").is_null() | pl.col("pair").is_null()).then(pl.lit("the ticker is not that of a game")),
        pl.when(~pl.col("rules_named")).then(pl.format("the rules do not name {}", "yes_sub_title")),
        _time_fault(),
        *_team_faults(),
    )


def _time_fault() -> pl.Expr:
    """Return a contradiction between the days and times of ticker, rules, milestone and expected answer."""
    day, decided = pl.col("day"), pl.col("decided_ts")
    decided_day, milestone_day = (in_new_york(pl.col(name)).dt.date() for name in ("decided_ts", "milestone_ts"))
    days_later = (decided_day - day).dt.total_days()
    decided_text = decided.dt.strftime("%Y-%m-%d %H:%M")
    return pl.coalesce(
        pl.when(pl.col("rules_day") != day).then(pl.format("the ticker says {}, the rules {}", "day", "rules_day")),
        pl.when(milestone_day != day).then(pl.format("the ticker says {}, the milestone {}", "day", milestone_day)),
        pl.when(~days_later.is_between(0, MAX_DAYS_TO_ANSWER)).then(
            pl.format("it is decided on {}, not on {}", decided_day, "day")
        ),
        pl.when(decided <= pl.col("start_ts")).then(
            pl.format("its answer is expected at {}, before it starts", decided_text)
        ),
    )


def _team_faults() -> list[pl.Expr]:
    """Contradictions about the teams, and teams that are unknown."""
    side_differs = (pl.col("by_milestone") != _side()).any().over("event_ticker")
    return [
        _contradiction("by_target", "by_code", "the target is {}, the ticker says {}"),
        _contradiction("by_target", "by_name", "the target is {}, the outcome {}"),
        _contradiction("by_name", "by_code", "the outcome is {}, the ticker says {}"),
        pl.when(pl.col("contradictory").any().over("event_ticker")).then(
            pl.lit("another market of the game contradicts itself")
        ),
        pl.when(pl.col("team").is_null() & ~pl.col("tie")).then(
            pl.format("no team is known as {} in teams.toml of {}", "yes_sub_title", "checked_on")
        ),
        pl.when(_is_confirmed() & (pl.col("listed_target") != pl.col("target"))).then(
            pl.format("the exchange's id of {} is not the one in teams.toml of {}", "team", "checked_on")
        ),
        pl.when(pl.col("first").is_null() | (pl.col("pairs") > 1)).then(
            pl.format("{} are not two known teams", "pair")
        ),
        pl.when(side_differs).then(pl.lit("the milestone has another team at home")),
        pl.when("disowned").then(pl.lit("the milestone names another team")),
    ]


def _evidence() -> pl.Expr:
    named = [
        pl.when(pl.col(f"by_{name}").is_not_null()).then(pl.lit(f", {name}")) for name in (*_EVIDENCE, "milestone")
    ]
    return pl.concat_str(
        pl.lit("series, ticker"),
        *named,
        pl.when("rules_named").then(pl.lit(", rules")),
        pl.when(pl.col("decided_ts").is_not_null()).then(pl.lit(", time")),
        ignore_nulls=True,
    )


def _pieces_of_evidence() -> pl.Expr:
    return pl.sum_horizontal(*(pl.col(f"by_{name}").is_not_null() for name in _EVIDENCE), pl.col("tie"))


def _is_confirmed() -> pl.Expr:
    """Return whether the evidence suffices: one piece alone does not; a name in the rules confirms the outcome's."""
    name_confirmed = (pl.col("by_name").is_not_null() & pl.col("rules_named")).fill_null(value=False)
    return (_pieces_of_evidence() >= 2) | pl.col("tie") | name_confirmed


def _link_columns() -> dict[str, pl.Expr]:
    """Times, teams, side and confidence of the links."""
    start, milestone, decided = pl.col("start_ts"), pl.col("milestone_ts"), pl.col("decided_ts")
    midnight = (
        pl.col("day").cast(pl.Datetime("us")).dt.replace_time_zone("America/New_York").dt.convert_time_zone("UTC")
    )
    plausible_milestone = pl.when((milestone < decided).fill_null(value=True)).then(milestone)
    start_unknown = start.is_null() & (decided.is_not_null() | milestone.is_null())
    by_answer = pl.when(start_unknown).then(pl.max_horizontal(decided - GAME_LENGTH - GAME_MARGIN, midnight))
    return {
        "likely_ts": pl.coalesce(start, plausible_milestone, decided - GAME_LENGTH),
        # The earliest of all, because none of them is reliably kept up to date.
        "before_ts": pl.coalesce(pl.min_horizontal(start, milestone, by_answer), midnight),
        "home": _home(),
        "away": pl.when("home_first").then("second").otherwise("first"),
        "side": _side(),
        "confidence": pl.when(pl.col("reason").is_not_null()).then(0.0).when(_is_confirmed()).then(0.99).otherwise(0.9),
    }


def _contradicts_itself() -> pl.Expr:
    """Return whether a market names two teams."""
    pairs = (("by_target", "by_code"), ("by_target", "by_name"), ("by_name", "by_code"))
    return pl.any_horizontal((pl.col(one) != pl.col(other)).fill_null(value=False) for one, other in pairs)


def _contradiction(one: str, other: str, text: str) -> pl.Expr:
    return pl.when(pl.col(one) != pl.col(other)).then(pl.format(text, one, other))
