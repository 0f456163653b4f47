"""Polls of elections between two parties, from a file in FiveThirtyEight's columns."""

from datetime import date

import polars as pl

from fairline.errors import InputError
from fairline.models.politics.states import NATION, place_codes

_POLLS: dict[str, pl.DataType | type[pl.DataType]] = {
    "poll_id": pl.String,
    "office": pl.String,
    "year": pl.Int64,
    "place": pl.String,
    "pollster": pl.String,
    "grade": pl.String,
    "sample": pl.Float64,
    "population": pl.String,
    "partisan": pl.Boolean,
    "end": pl.Date,
    "dem": pl.Float64,
    "rep": pl.Float64,
    "other": pl.Float64,
}
POLLS = pl.Schema(_POLLS)
"""One row per poll and place: shares in percent, `other` the largest share of a candidate of neither party. `place` is
a state's postal code, ME-1 for a district, US for the nation. `grade` is a letter, or the stars 0.5 to 3.0 used since
2023."""

LATEST_QUESTIONS = 5
"""The match-up that most of a race's latest questions ask about counts as the one on the ballot."""
STRONG_INDEPENDENT = 10.0
"""Percent from which a candidate of neither party makes it a race of three."""
_POPULATION_RANKS = {"lv": 0, "rv": 1, "v": 2, "a": 3}
_NO_POPULATION = 4
_DATE_FORMATS = ("%Y-%m-%d", "%m/%d/%y", "%m/%d/%Y")
_OFFICES = {"U.S. President": "president", "U.S. Senate": "senate", "Governor": "governor", "": "president"}
"""A file without an office is about the presidency."""
_PARTIES = {"DEM": "dem", "REP": "rep"}
_GENERAL_STAGES = ["general", "runoff", ""]

_ALTERNATIVES = {"candidate_party": "party", "fte_grade": "numeric_grade"}
"""Columns that FiveThirtyEight renamed in 2021 to 2024."""
_REQUIRED = ("state", "pollster", "end_date", "candidate_party", "pct")
_OPTIONAL = (
    "question_id",
    "poll_id",
    "office_type",
    "cycle",
    "seat_name",
    "stage",
    "fte_grade",
    "sample_size",
    "population",
    "partisan",
    "candidate_name",
)
EXPECTED = "Expected: the columns of FiveThirtyEight's polls, at least " + ",".join(_REQUIRED)

_RACE = ["office", "year", "place"]
_BALLOT = ["office", "year", "ballot"]


def read_polls(body: bytes, asof: date | None = None, year: int | None = None) -> tuple[pl.DataFrame, list[str]]:
    """Return POLLS that had ended by `asof`, and a line for each kind of row that is not used.

    The file is a CSV in FiveThirtyEight's columns, old or new, one row per answer. Of a poll's versions by population
    the one of the likeliest voters counts; questions that name one candidate of each party are averaged; earlier
    match-ups are dropped. The latest questions decide who is running: a race whose latest questions name no Democrat,
    two of one party or a strong independent is left out. `year` is the election's if no column `cycle` has it. Raises
    `InputError`.
    """
    rows = _parse(_read_table(body), year)
    if asof is not None:
        rows = rows.filter(pl.col("end").is_null() | (pl.col("end") <= asof))
    rows = rows.with_columns(fault=_fault(), is_complete=_is_percent().all().over("poll", "question", *_RACE))
    faults = _describe(rows.drop_nulls("fault"))
    questions = _with_ballot(_questions(rows.filter(pl.col("fault").is_null())))
    two_party = questions.filter(pl.col("kind").is_null() & pl.col("running_kind").is_null())
    asked_about_ballot = pl.col("candidates") == pl.col("running")
    faults += _question_faults(questions, two_party.filter(~asked_about_ballot))
    return _average_questions(two_party.filter(asked_about_ballot)), faults


def _read_table(body: bytes) -> pl.DataFrame:
    try:
        table = pl.read_csv(body, infer_schema=False, truncate_ragged_lines=True)
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0][:100]
        raise InputError(f"the polls are not a CSV file ({reason})", remedy=EXPECTED) from error
    for name, alternative in _ALTERNATIVES.items():
        if name not in table.columns and alternative in table.columns:
            table = table.rename({alternative: name})
    missing = [name for name in _REQUIRED if name not in table.columns]
    if missing:
        raise InputError(f"the polls have no column {' and '.join(missing)}", remedy=EXPECTED)
    columns = (*_REQUIRED, *_OPTIONAL)
    table = table.select(
        (pl.col(name) if name in table.columns else pl.lit(None, dtype=pl.String)).alias(name) for name in columns
    )
    return table.with_row_index("line", offset=2).unique(columns, keep="first", maintain_order=True)


def _parse(table: pl.DataFrame, year: int | None) -> pl.DataFrame:
    rank = pl.col("population").str.to_lowercase()
    poll = pl.coalesce("poll_id", pl.concat_str("pollster", "end_date", separator="|", ignore_nulls=True))
    return table.with_columns(
        poll=poll,
        question=pl.coalesce("question_id", poll),
        end=pl.coalesce(pl.col("end_date").str.to_date(form, strict=False) for form in _DATE_FORMATS),
        place=_lookup(pl.col("state").fill_null("").str.strip_chars(), place_codes()),
        office=_lookup(pl.col("office_type").fill_null(""), _OFFICES),
        year=pl.coalesce(pl.col("cycle").cast(pl.Int64, strict=False), pl.lit(year, dtype=pl.Int64)),
        party=_lookup(pl.col("candidate_party"), _PARTIES),
        share=pl.col("pct").cast(pl.Float64, strict=False),
        rank=rank.replace_strict(_POPULATION_RANKS, default=_NO_POPULATION, return_dtype=pl.Int64),
    )


def _fault() -> pl.Expr:
    """Why a row cannot be used, null if it can."""
    is_near = pl.col("end").dt.year().is_between(pl.col("year") - 2, pl.col("year"))
    seats = pl.col("seat_name").drop_nulls().n_unique().over(_RACE)
    is_general = pl.col("stage").fill_null("general").str.to_lowercase().is_in(_GENERAL_STAGES)
    return pl.coalesce(
        pl.when(pl.col("end").is_null()).then(pl.format("{} is not a date", pl.col("end_date").fill_null("nothing"))),
        pl.when(pl.col("place").is_null()).then(pl.format("{} is not a place", "state")),
        pl.when(pl.col("office").is_null()).then(pl.format("{} is not a known office", "office_type")),
        pl.when(pl.col("year").is_null()).then(pl.lit("the year of the election is not given")),
        pl.when(~is_near).then(pl.format("{} is not within two years of the election", "end")),
        pl.when(~is_general).then(pl.format("it is about a {}", "stage")),
        pl.when(seats > 1).then(pl.format("two seats of {} are contested, and a market does not say which", "place")),
        pl.when(~_is_percent()).then(pl.lit("the share is not a percentage")),
    )


def _is_percent() -> pl.Expr:
    return pl.col("share").is_between(0, 100).fill_null(value=False)


def _describe(faulty: pl.DataFrame) -> list[str]:
    counts = faulty.group_by("fault", maintain_order=True).agg(pl.len(), pl.col("line").first())
    return [f"{number} rows such as line {line}: {fault}" for fault, number, line in counts.iter_rows()]


def _questions(rows: pl.DataFrame) -> pl.DataFrame:
    """Return one row per question and population: shares by party, who was named, and what kind of race that is."""
    size = pl.col("sample_size").cast(pl.Float64, strict=False)
    keys = ["poll", "question", *_RACE, "population"]
    is_dem, is_rep = pl.col("party") == "dem", pl.col("party") == "rep"
    of_party = pl.col("candidate_name").filter(pl.col("party").is_not_null())
    return (
        rows.group_by(keys, maintain_order=True)
        .agg(
            pl.col("pollster", "end", "rank", "is_complete").first(),
            grade=pl.col("fte_grade").first().fill_null(""),
            sample=pl.when(size.is_finite() & (size > 0)).then(size).max(),
            partisan=pl.col("partisan").first().fill_null("") != "",
            dem=pl.col("share").filter(is_dem).first(),
            rep=pl.col("share").filter(is_rep).first(),
            other=pl.col("share").filter(pl.col("party").is_null()).max().fill_null(0.0),
            dems=is_dem.sum(),
            reps=is_rep.sum(),
            candidates=of_party.fill_null("").sort().str.join(" and "),
        )
        .with_columns(kind=_race_kind())
    )


def _race_kind() -> pl.Expr:
    """Return what makes a question not one between a Democrat and a Republican, null if it is one."""
    dems, reps = pl.col("dems"), pl.col("reps")
    return pl.coalesce(
        pl.when(dems > 1).then(pl.lit("two Democrats")),
        pl.when(reps > 1).then(pl.lit("two Republicans")),
        pl.when(dems == 0).then(pl.lit("no Democrat")),
        pl.when(reps == 0).then(pl.lit("no Republican")),
    )


def _with_ballot(questions: pl.DataFrame) -> pl.DataFrame:
    """Add `running`, the candidates of the match-up on the ballot, and `running_kind`, why the race is left out.

    The ballot is what most of the latest questions ask about; the presidency has one for all states.
    """
    ballot = pl.when(pl.col("office") == "president").then(pl.lit(NATION)).otherwise("place")
    is_strong = pl.col("other") >= STRONG_INDEPENDENT
    kind = pl.coalesce("kind", pl.when(is_strong).then(pl.lit("a strong independent"))).fill_null("")
    ordered = questions.with_columns(ballot=ballot, race_kind=kind).sort("end", maintain_order=True)
    two_party = ordered.filter(pl.col("kind").is_null()).group_by(_BALLOT)
    running = two_party.agg(running=pl.col("candidates").tail(LATEST_QUESTIONS).mode().sort().first())
    # In doubt the kind that leaves the race out counts.
    latest_kind = pl.col("race_kind").tail(LATEST_QUESTIONS).mode().sort().last()
    # A question with an unreadable answer does not say who is running.
    kinds = (
        ordered.filter("is_complete").group_by(_BALLOT).agg(running_kind=pl.when(latest_kind != "").then(latest_kind))
    )
    for facts in (running, kinds):
        ordered = ordered.join(facts, on=_BALLOT, how="left", maintain_order="left")
    return ordered


def _question_faults(questions: pl.DataFrame, off_ballot: pl.DataFrame) -> list[str]:
    left_out = questions.drop_nulls("running_kind").unique(_BALLOT, maintain_order=True)
    faults = [
        f"the latest questions on {office} {place} {year} name {kind}: the race is left out"
        for office, place, year, kind in left_out.select("office", "ballot", "year", "running_kind").iter_rows()
    ]
    uneven = questions.filter(pl.col("kind").is_not_null() & pl.col("running_kind").is_null()).height
    if uneven:
        faults.append(f"{uneven} questions do not name one candidate of each party")
    if off_ballot.height:
        example = off_ballot["candidates"][0]
        faults.append(f"{off_ballot.height} questions ask about others than most of the latest, such as {example}")
    return faults


def _average_questions(questions: pl.DataFrame) -> pl.DataFrame:
    """POLLS: the questions of each poll averaged, in the version of the likeliest voters."""
    likeliest = questions.filter(pl.col("rank") == pl.col("rank").min().over("poll", *_RACE))
    polls = likeliest.group_by("poll", *_RACE, maintain_order=True).agg(
        pl.col("pollster").first().fill_null("unknown"),
        pl.col("grade", "population", "partisan", "end").first(),
        pl.col("sample").max(),
        pl.col("dem", "rep", "other").mean(),
    )
    polls = polls.rename({"poll": "poll_id"})
    return polls.select(pl.col(name).cast(dtype) for name, dtype in POLLS.items())


def _lookup(text: pl.Expr, table: dict[str, str]) -> pl.Expr:
    return text.replace_strict(table, default=None, return_dtype=pl.String)
