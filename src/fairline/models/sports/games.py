"""Which game a market is about, and whose win YES pays: by the exchange's own evidence, names last.

A market of a game names its team four times: by a target of the exchange, by the code at the end of its ticker, by the
outcome's name, and in its rules. Two that agree make a link; two that contradict each other leave the market unlinked,
with the reason. Its event's milestone, where it has one, may contradict too, by its day or by the targets of who is at
home, and says when the game starts where the ticker does not.
"""

from collections.abc import Mapping
from datetime import time

import polars as pl

from fairline.models.linking import new_york, told_day
from fairline.models.sports.teams import League, key_of, leagues, names

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
"""`day` is the scheduled one in New York; `start_ts`, and `number`, which of two on a day, only if the ticker has
them. `likely_ts` is when it starts by ticker, milestone, or when its answer is expected; before `before_ts`, the
earliest of these, it has not begun, unless the exchange expects the answer later than usual. YES pays if `side`
(`home`, `away`, `tie`) is how it ends. `reason` says why a market is not linked."""

_TICKER = r"^[A-Z0-9]+-\d\d[A-Z]{3}\d\d(\d{4})?([A-Z]+?)(?:(G)?([1-9]))?$"
_SAME_START_MIN, _LIKELY_START_MIN = 60, 150
_GAME, _SPARE = pl.duration(hours=3), pl.duration(hours=1)
"""What lies between start and expected answer in the exchange's objects of 2026, and some more to be sure."""
_LATEST_D = 3
"""Days after the scheduled one by which the answer of a game is known, else the times are not of one game."""


def link_games(markets: pl.DataFrame, known: Mapping[str, League] | None = None) -> pl.DataFrame:
    """GAME_LINKS of the markets (MARKETS columns) of a league's games, in their order."""
    known = leagues() if known is None else known
    rows = _paired(_dated(_named(_told(markets, known), known)), names(known))
    return _judged(rows).select(pl.col(name).cast(dtype) for name, dtype in GAME_LINKS.items())


def matched(links: pl.DataFrame, fixtures: pl.DataFrame) -> pl.DataFrame:
    """The links with the columns of the fixture that each is about, and a `reason` for those that have none or more
    than one. Fixtures are `{league, day, start_ts, home, away, …}`, one row a game.

    Two games of a pair on one day are told apart by when they start or by their number, else not at all.
    """
    on, start = ["league", "day", "home", "away"], pl.col("start_ts")
    there = fixtures.with_columns(found=pl.lit(value=True), among=pl.len().over(on), nth=start.rank("ordinal").over(on))
    sure = links.filter(pl.col("reason").is_null())
    pairs = sure.join(there, on=on, how="left", maintain_order="left", suffix="_there")
    there_ts = pl.col("start_ts_there")
    apart = (start - there_ts).dt.total_minutes().abs() > _SAME_START_MIN
    likely = (pl.col("likely_ts") - there_ts).dt.total_minutes().abs() > _LIKELY_START_MIN
    # A game of two, of which one is known, could be either.
    number = pl.col("number")
    numbered = pl.when(number.is_not_null()).then((number != pl.col("nth")) | (pl.col("among") != 2))
    other = pl.coalesce(apart, numbered, likely, pl.lit(value=False))
    rest = pairs.filter(~other | (pl.col("among") == 1)).with_columns(among=pl.len().over("ticker"))
    judged = rest.with_columns(
        reason=pl.coalesce(
            pl.when(pl.col("found").is_null()).then(
                pl.format("no game of {} at {} on {} is known", "away", "home", "day")
            ),
            pl.when(pl.col("among") > 1).then(pl.format("{} games of {} at {} on {}", "among", "away", "home", "day")),
            pl.when(other).then(pl.lit("it is another than the one game that is known")),
        )
    ).unique("ticker", keep="first", maintain_order=True)
    lost = sure.filter(~pl.col("ticker").is_in(judged["ticker"].to_list())).with_columns(
        reason=pl.lit("no game that is known starts at that time")
    )
    return pl.concat([judged, lost, links.filter(pl.col("reason").is_not_null())], how="diagonal")


def _told(markets: pl.DataFrame, known: Mapping[str, League]) -> pl.DataFrame:
    """What ticker and times say."""
    table = pl.DataFrame(
        [(league.name, league.series, league.home == "first", league.ties) for league in known.values()],
        schema={"league": pl.String, "series_ticker": pl.String, "home_first": pl.Boolean, "ties": pl.Boolean},
        orient="row",
    )
    series = pl.coalesce("series_ticker", pl.col("event_ticker").str.split("-").list.first())
    mine = markets.with_columns(series_ticker=series).join(
        table, on="series_ticker", how="inner", maintain_order="left"
    )
    parts = pl.col("event_ticker").str.extract_groups(_TICKER)
    clock = parts.struct.field("1")
    local = pl.col("day").cast(pl.Datetime("us")) + pl.duration(
        hours=clock.str.slice(0, 2).cast(pl.Int32, strict=False),
        minutes=clock.str.slice(2).cast(pl.Int32, strict=False),
    )
    return mine.with_columns(
        day=told_day(),
        pair=parts.struct.field("2"),
        number=pl.when(parts.struct.field("3").is_not_null()).then(parts.struct.field("4")).cast(pl.Int8),
        code=pl.col("ticker").str.strip_prefix(pl.col("event_ticker")).str.strip_prefix("-"),
    ).with_columns(
        start_ts=local.dt.replace_time_zone("America/New_York", ambiguous="null", non_existent="null")
        .dt.convert_time_zone("UTC")
    )  # fmt: skip


def _named(rows: pl.DataFrame, known: Mapping[str, League]) -> pl.DataFrame:
    """The team that each kind of evidence names, null where it names none that is known."""
    table = names(known)
    targets = pl.DataFrame(
        [(league.name, target, team) for league in known.values() for team, target in league.targets.items()],
        schema={"league": pl.String, "target": pl.String, "by_target": pl.String},
        orient="row",
    )
    outcome = key_of(pl.col("yes_sub_title").str.strip_prefix("Reg Time: "))
    tie = pl.col("ties") & (pl.col("code") == "TIE")
    return (
        rows.with_columns(tie=tie, code_key=key_of(pl.col("code")), name_key=outcome)
        .join(table.rename({"key": "code_key", "team": "by_code"}), on=["league", "code_key"], how="left",
              maintain_order="left")
        .join(table.rename({"key": "name_key", "team": "by_name"}), on=["league", "name_key"], how="left",
              maintain_order="left")
        .join(targets, on=["league", "target"], how="left", maintain_order="left")
        .with_columns(team=pl.coalesce("by_target", "by_name", "by_code"), torn=_torn())
    )  # fmt: skip


def _dated(rows: pl.DataFrame) -> pl.DataFrame:
    """What the event's milestone says, if it is of this game: `by_milestone`, the side of the market's target; whether
    it `disowns` a team of the event; and its time, unless that is a mere date.
    """
    target, home, away = pl.col("target"), pl.col("home_target"), pl.col("away_target")
    both = home.is_not_null() & away.is_not_null() & ~pl.col("tie")
    side = pl.when(both & (target == home)).then(pl.lit("home")).when(both & (target == away)).then(pl.lit("away"))
    named = side.is_not_null().any().over("event_ticker")
    # One that knows none of the teams is of something else.
    strange = ~named & (both & target.is_not_null()).any().over("event_ticker")
    moment = pl.col("milestone_ts")
    # A date alone is written as its midnight in Greenwich, the evening before in New York.
    bare = (moment.dt.time() == time(0)) & (moment.dt.date() == pl.col("day"))
    return rows.with_columns(
        by_milestone=side,
        disowns=(named & both & target.is_not_null() & side.is_null()).any().over("event_ticker"),
        milestone_ts=pl.when(~strange & ~bare).then(moment),
    )


def _paired(rows: pl.DataFrame, table: pl.DataFrame) -> pl.DataFrame:
    """With `first` and `second`, the teams in the order of the ticker: a market's own code and that of another market
    of the event, or that of a known team, make up the ticker between them.
    """
    code, pair = pl.col("code"), pl.col("pair")
    length = code.str.len_chars()
    mine = rows.filter(~pl.col("tie")).select("league", "event_ticker", "ticker", "code", "pair", "team")
    ahead = mine.filter(pair.str.starts_with(code)).with_columns(other=pair.str.slice(length), ahead=pl.lit(value=True))
    front = pair.str.slice(0, pair.str.len_chars() - length)
    behind = mine.filter(pair.str.ends_with(code)).with_columns(other=front, ahead=pl.lit(value=False))
    halves = pl.concat([ahead, behind])
    siblings = mine.select("event_ticker", other="code", sibling="team").unique(["event_ticker", "other"])
    keyed = halves.with_columns(key=key_of(pl.col("other"))).join(table.rename({"team": "known"}), on=["league", "key"],
                                                                 how="left")  # fmt: skip
    both = keyed.join(siblings, on=["event_ticker", "other"], how="left").with_columns(
        rival=pl.coalesce("sibling", "known")
    )
    sound = both.filter(
        pl.col("rival").is_not_null() & pl.col("team").is_not_null() & (pl.col("rival") != pl.col("team"))
    )
    sole = sound.filter(pl.len().over("ticker") == 1).select(
        "event_ticker",
        "ticker",
        first=pl.when("ahead").then("team").otherwise("rival"),
        second=pl.when("ahead").then("rival").otherwise("team"),
    )
    # All markets of an event must find the same pair; the tie is of that pair too.
    events = sole.group_by("event_ticker").agg(
        pl.col("first").first(), pl.col("second").first(), pairs=pl.struct("first", "second").n_unique()
    )
    return rows.join(events, on="event_ticker", how="left", maintain_order="left")


def _judged(rows: pl.DataFrame) -> pl.DataFrame:
    team, day = pl.col("team"), pl.col("day")
    home = pl.when("home_first").then("first").otherwise("second")
    side = pl.when("tie").then(pl.lit("tie")).when(team == home).then(pl.lit("home")).otherwise(pl.lit("away"))
    known_day, milestone_day = (new_york(pl.col(name)).dt.date() for name in ("decided_ts", "milestone_ts"))
    off = (known_day - day).dt.total_days()
    reason = pl.coalesce(
        pl.when(pl.col("market_type") != "binary").then(pl.format("a {} market has no YES and NO", "market_type")),
        pl.when(day.is_null() | pl.col("pair").is_null()).then(pl.lit("the ticker is not that of a game")),
        pl.when(~pl.col("rules_named")).then(pl.format("the rules do not name {}", "yes_sub_title")),
        pl.when(pl.col("rules_day") != day).then(pl.format("the ticker says {}, the rules {}", "day", "rules_day")),
        pl.when(milestone_day != day).then(pl.format("the ticker says {}, the milestone {}", "day", milestone_day)),
        pl.when(~off.is_between(0, _LATEST_D)).then(pl.format("it is decided on {}, not on {}", known_day, "day")),
        pl.when(pl.col("decided_ts") <= pl.col("start_ts")).then(
            pl.format(
                "its answer is expected at {}, before it starts", pl.col("decided_ts").dt.strftime("%Y-%m-%d %H:%M")
            )
        ),
        _contradiction("by_target", "by_code", "the target is {}, the ticker says {}"),
        _contradiction("by_target", "by_name", "the target is {}, the outcome {}"),
        _contradiction("by_name", "by_code", "the outcome is {}, the ticker says {}"),
        pl.when(pl.col("torn").any().over("event_ticker")).then(
            pl.lit("another market of the game contradicts itself")
        ),
        pl.when(team.is_null() & ~pl.col("tie")).then(pl.format("no team is known as {}", "yes_sub_title")),
        pl.when(pl.col("first").is_null() | (pl.col("pairs") > 1)).then(
            pl.format("{} are not two teams that are known", "pair")
        ),
        pl.when((pl.col("by_milestone") != side).any().over("event_ticker")).then(
            pl.lit("the milestone has another team at home")
        ),
        pl.when("disowns").then(pl.lit("the milestone names another team")),
    )
    midnight = day.cast(pl.Datetime("us")).dt.replace_time_zone("America/New_York").dt.convert_time_zone("UTC")
    told = pl.sum_horizontal(*(pl.col(f"by_{n}").is_not_null() for n in ("target", "code", "name")), pl.col("tie"))
    milestone, known = pl.col("milestone_ts"), pl.col("decided_ts")
    sensible = pl.when((milestone < known).fill_null(value=True)).then(milestone)
    unclear = pl.col("start_ts").is_null() & (known.is_not_null() | milestone.is_null())
    expected = pl.when(unclear).then(pl.max_horizontal(known - _GAME - _SPARE, midnight))
    evidence = pl.concat_str(
        pl.lit("series, ticker"),
        *(
            pl.when(pl.col(f"by_{name}").is_not_null()).then(pl.lit(f", {name}"))
            for name in ("target", "code", "name", "milestone")
        ),
        pl.when("rules_named").then(pl.lit(", rules")),
        pl.when(pl.col("decided_ts").is_not_null()).then(pl.lit(", time")),
        ignore_nulls=True,
    )
    # One piece of evidence that nothing confirms is not enough; the name in the rules confirms the outcome's.
    confirmed = (pl.col("told") >= 2) | pl.col("tie") | (pl.col("by_name").is_not_null() & pl.col("rules_named"))
    return rows.with_columns(reason=reason, evidence=evidence, told=told).with_columns(
        likely_ts=pl.coalesce("start_ts", sensible, known - _GAME),
        # The least that any of them says: none is surely kept up to date.
        before_ts=pl.coalesce(pl.min_horizontal("start_ts", milestone, expected), midnight),
        home=home,
        away=pl.when("home_first").then("second").otherwise("first"),
        side=side,
        confidence=pl.when(pl.col("reason").is_not_null()).then(0.0).when(confirmed).then(0.99).otherwise(0.9),
    )  # fmt: skip


def _torn() -> pl.Expr:
    """Whether a market names two teams."""
    pairs = (("by_target", "by_code"), ("by_target", "by_name"), ("by_name", "by_code"))
    return pl.any_horizontal((pl.col(one) != pl.col(other)).fill_null(value=False) for one, other in pairs)


def _contradiction(one: str, other: str, words: str) -> pl.Expr:
    return pl.when(pl.col(one) != pl.col(other)).then(pl.format(words, one, other))
