"""Polls of elections between two parties, from a file in FiveThirtyEight's columns."""

from datetime import date

import polars as pl

from fairline.errors import InputError
from fairline.models.politics.states import NATION, place_codes

POLLS = pl.Schema(
    {"poll_id": pl.String, "office": pl.String, "year": pl.Int64, "place": pl.String, "pollster": pl.String,
     "grade": pl.String, "sample": pl.Float64, "population": pl.String, "partisan": pl.Boolean, "end": pl.Date,
     "dem": pl.Float64, "rep": pl.Float64, "other": pl.Float64}
)  # fmt: skip
"""One row a poll and place: shares in percent, `other` the most that a candidate of neither party got. `place` is a
state's postal code, ME-1 for a district, US for all."""

_POPULATIONS = ("lv", "rv", "v", "a")
_LATEST = 5
"""Questions of a race whose match-up is taken for the one on the ballot, if most of them ask it."""
_NEEDED = ("state", "pollster", "end_date", "candidate_party", "pct")
_OPTIONAL = ("question_id", "poll_id", "office_type", "cycle", "seat_name", "stage", "fte_grade", "sample_size",
             "population", "partisan", "candidate_name")  # fmt: skip
_REMEDY = "Expected: the columns of FiveThirtyEight's polls, at least " + ",".join(_NEEDED)
_OFFICES = {"U.S. President": "president", "U.S. Senate": "senate", "Governor": "governor", "": "president"}
"""Beside those of FiveThirtyEight's: a file that does not name the office is about the presidency."""


def read_polls(body: bytes, asof: date | None = None, year: int | None = None) -> tuple[pl.DataFrame, list[str]]:
    """POLLS that had ended by `asof`, of a CSV in FiveThirtyEight's columns (a row an answer), and a line for each kind
    of row that is not used.

    Of a poll's versions by population the one of the likeliest voters counts; questions that name one candidate of each
    party are averaged, those with two of one (a primary) and match-ups that were asked before dropped. `year` is the
    election's where no column `cycle` says it. Raises `InputError`.
    """
    try:
        table = pl.read_csv(body, infer_schema=False, truncate_ragged_lines=True)
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        raise InputError(f"the polls are no CSV ({str(error).splitlines()[0][:100]})", remedy=_REMEDY) from None
    missing = [name for name in _NEEDED if name not in table.columns]
    if missing:
        raise InputError(f"the polls have no column {' and '.join(missing)}", remedy=_REMEDY)
    table = table.select(
        (pl.col(name) if name in table.columns else pl.lit(None, dtype=pl.String)).alias(name)
        for name in (*_NEEDED, *_OPTIONAL)
    ).with_row_index("line", offset=2)
    table = table.unique([*_NEEDED, *_OPTIONAL], keep="first", maintain_order=True)
    forms = ("%Y-%m-%d", "%m/%d/%y", "%m/%d/%Y")
    ranks = {population: rank for rank, population in enumerate(_POPULATIONS)}
    rows = table.with_columns(
        end=pl.coalesce(pl.col("end_date").str.to_date(form, strict=False) for form in forms),
        place=_mapped(pl.col("state").fill_null("").str.strip_chars(), place_codes()),
        office=_mapped(pl.col("office_type").fill_null(""), _OFFICES),
        year=pl.coalesce(pl.col("cycle").cast(pl.Int64, strict=False), pl.lit(year, dtype=pl.Int64)),
        party=_mapped(pl.col("candidate_party"), {"DEM": "dem", "REP": "rep"}),
        share=pl.col("pct").cast(pl.Float64, strict=False),
        rank=pl.col("population").str.to_lowercase().replace_strict(ranks, default=4, return_dtype=pl.Int64),
    )
    if asof is not None:
        rows = rows.filter(pl.col("end").is_null() | (pl.col("end") <= asof))
    near = pl.col("end").dt.year().is_between(pl.col("year") - 2, pl.col("year"))
    seats = pl.col("seat_name").drop_nulls().n_unique().over("office", "year", "place")
    percent = pl.col("share").is_between(0, 100).fill_null(value=False)
    fault = pl.coalesce(
        pl.when(pl.col("end").is_null()).then(pl.format("{} is no date", pl.col("end_date").fill_null("nothing"))),
        pl.when(pl.col("place").is_null()).then(pl.format("{} is no place", "state")),
        pl.when(pl.col("office").is_null()).then(pl.format("{} is no office that is known", "office_type")),
        pl.when(pl.col("year").is_null()).then(pl.lit("no election's year is given")),
        pl.when(~near).then(pl.format("{} is not within two years of the election", "end")),
        pl.when(~pl.col("stage").fill_null("general").str.to_lowercase().is_in(["general", "runoff", ""])).then(
            pl.format("it is about a {}", "stage")
        ),
        pl.when(seats > 1).then(pl.format("two seats of {} are voted on, and a market does not say which", "place")),
        pl.when(~percent).then(pl.lit("the share is not a percentage")),
    )
    rows = rows.with_columns(fault=fault)
    faults = [
        f"{number} rows such as line {line}: {words}"
        for words, number, line in rows.drop_nulls("fault").group_by("fault", maintain_order=True)
        .agg(pl.len(), pl.col("line").first()).iter_rows()
    ]  # fmt: skip
    made, dropped = _polls(rows.filter(pl.col("fault").is_null()))
    return made, [*faults, *dropped]


def _polls(rows: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """A row a poll and place, of answers that can be used, and a line on the questions that cannot."""
    size = pl.col("sample_size").cast(pl.Float64, strict=False)
    poll = pl.coalesce("poll_id", pl.concat_str("pollster", "end_date", separator="|", ignore_nulls=True))
    question = pl.coalesce("question_id", poll)
    keys = ["poll_id", "question_id", "office", "year", "place", "population"]
    asked = rows.with_columns(poll_id=poll, question_id=question).group_by(keys, maintain_order=True).agg(
        pl.col("pollster", "end", "rank").first(),
        grade=pl.col("fte_grade").first().fill_null(""),
        sample=pl.when(size.is_finite() & (size > 0)).then(size).max(),
        partisan=pl.col("partisan").first().fill_null("") != "",
        dem=pl.col("share").filter(pl.col("party") == "dem").first(),
        rep=pl.col("share").filter(pl.col("party") == "rep").first(),
        other=pl.col("share").filter(pl.col("party").is_null()).max().fill_null(0.0),
        dems=(pl.col("party") == "dem").sum(), reps=(pl.col("party") == "rep").sum(),
        who=pl.col("candidate_name").filter(pl.col("party").is_not_null()).fill_null("").sort().str.join(" and "),
    )  # fmt: skip
    one_each = (pl.col("dems") == 1) & (pl.col("reps") == 1)
    unused = asked.filter(~one_each).height
    asked = asked.filter(one_each)
    # Of the match-ups that were asked, the one on the ballot is that of most of the latest polls.
    race = ["office", "year", "place"]
    ballot = pl.when(pl.col("office") == "president").then(pl.lit(NATION)).otherwise("place")
    asked = asked.with_columns(ballot=ballot).sort("end", maintain_order=True)
    latest = asked.group_by("office", "year", "ballot").agg(on_it=pl.col("who").tail(_LATEST).mode().sort().first())
    asked = asked.join(latest, on=["office", "year", "ballot"], maintain_order="left")
    off = asked.filter(pl.col("who") != pl.col("on_it"))
    asked = asked.filter(pl.col("who") == pl.col("on_it"))
    faults = [f"{unused} questions do not name one candidate of each party"] if unused else []
    if off.height:
        faults.append(f"{off.height} questions ask about others than most of the latest, such as {off['who'][0]}")
    best = asked.filter(pl.col("rank") == pl.col("rank").min().over("poll_id", *race))
    made = best.group_by("poll_id", *race, maintain_order=True).agg(
        pl.col("pollster").first().fill_null("unknown"), pl.col("grade", "population", "partisan", "end").first(),
        pl.col("sample").max(), pl.col("dem", "rep", "other").mean(),
    ).select(pl.col(name).cast(dtype) for name, dtype in POLLS.items())  # fmt: skip
    return made, faults


def _mapped(text: pl.Expr, table: dict[str, str]) -> pl.Expr:
    return text.replace_strict(table, default=None, return_dtype=pl.String)
