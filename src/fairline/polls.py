"""Polls of elections between two parties, from a file in FiveThirtyEight's columns."""

import polars as pl

from fairline.errors import InputError
from fairline.states import NATION, place_codes

POLLS = pl.Schema(
    {"poll_id": pl.String, "office": pl.String, "year": pl.Int64, "place": pl.String, "pollster": pl.String,
     "grade": pl.String, "sample": pl.Float64, "population": pl.String, "partisan": pl.Boolean, "end": pl.Date,
     "dem": pl.Float64, "rep": pl.Float64}
)  # fmt: skip
"""One row a poll and place: shares in percent. `place` is a state's postal code, ME-1 for a district, US for all."""

_POPULATIONS = ("lv", "rv", "v", "a")
_LATEST = 50
_NEEDED = ("state", "pollster", "end_date", "candidate_party", "pct")
_REMEDY = "Expected: the columns of FiveThirtyEight's polls, at least " + ",".join(_NEEDED)
_OFFICES = {"U.S. President": "president", "U.S. Senate": "senate", "Governor": "governor", "": "president"}
"""Beside those of FiveThirtyEight's: a file that does not name the office is about the presidency."""


def read_polls(body: bytes, year: int | None = None) -> tuple[pl.DataFrame, list[str]]:
    """POLLS of a CSV in FiveThirtyEight's columns (a row an answer), and a line for each kind of row that is not used.

    Of a poll's versions by population the one of the likeliest voters counts; questions that name one candidate of each
    party are averaged, those with two of one (a primary) dropped. `year` is the election's where no column `cycle` says
    it. Raises `InputError`.
    """
    try:
        table = pl.read_csv(body, infer_schema=False, truncate_ragged_lines=True)
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        raise InputError(f"the polls are no CSV ({str(error).splitlines()[0][:100]})", remedy=_REMEDY) from None
    missing = [name for name in _NEEDED if name not in table.columns]
    if missing:
        raise InputError(f"the polls have no column {' and '.join(missing)}", remedy=_REMEDY)
    optional = ("question_id", "poll_id", "office_type", "cycle", "fte_grade", "sample_size", "population", "partisan",
                "candidate_name")  # fmt: skip
    table = table.with_columns(
        pl.lit(None, dtype=pl.String).alias(name) for name in optional if name not in table.columns
    ).with_row_index("line", offset=2)
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
    percent = pl.col("share").is_between(0, 100).fill_null(value=False)
    fault = pl.coalesce(
        pl.when(pl.col("end").is_null()).then(pl.format("{} is no date", pl.col("end_date").fill_null("nothing"))),
        pl.when(pl.col("place").is_null()).then(pl.format("{} is no place", "state")),
        pl.when(pl.col("office").is_null()).then(pl.format("{} is no office that is known", "office_type")),
        pl.when(pl.col("year").is_null()).then(pl.lit("no election's year is given")),
        pl.when(~percent).then(pl.lit("the share is not a percentage")),
    )
    rows = rows.with_columns(fault=fault)
    faults = [
        f"{number} rows such as line {line}: {words}"
        for words, number, line in rows.drop_nulls("fault").group_by("fault", maintain_order=True)
        .agg(pl.len(), pl.col("line").first()).iter_rows()
    ]  # fmt: skip
    return _polls(rows.filter(pl.col("fault").is_null() & pl.col("party").is_not_null())), faults


def _polls(rows: pl.DataFrame) -> pl.DataFrame:
    """A row a poll and place, of answers that can be used."""
    poll = pl.coalesce("poll_id", pl.concat_str("pollster", "end_date", separator="|", ignore_nulls=True))
    question = pl.coalesce("question_id", poll)
    keys = ["poll_id", "question_id", "office", "year", "place", "population"]
    asked = rows.with_columns(poll_id=poll, question_id=question).group_by(keys, maintain_order=True).agg(
        pl.col("pollster", "end", "rank").first(),
        grade=pl.col("fte_grade").first().fill_null(""),
        sample=pl.col("sample_size").cast(pl.Float64, strict=False).max(),
        partisan=pl.col("partisan").first().fill_null("") != "",
        dem=pl.col("share").filter(pl.col("party") == "dem").first(),
        rep=pl.col("share").filter(pl.col("party") == "rep").first(),
        dems=(pl.col("party") == "dem").sum(), reps=(pl.col("party") == "rep").sum(),
        who=pl.col("candidate_name").fill_null("").sort().str.join(" and "),
    ).filter((pl.col("dems") == 1) & (pl.col("reps") == 1))  # fmt: skip
    # Of the match-ups that were asked, the one on the ballot is that of most of the latest polls.
    race = ["office", "year", "place"]
    ballot = pl.when(pl.col("office") == "president").then(pl.lit(NATION)).otherwise("place")
    asked = asked.with_columns(ballot=ballot).sort("end", maintain_order=True)
    latest = asked.group_by("office", "year", "ballot").agg(on_it=pl.col("who").tail(_LATEST).mode().sort().first())
    asked = asked.join(latest, on=["office", "year", "ballot"]).filter(pl.col("who") == pl.col("on_it"))
    best = asked.filter(pl.col("rank") == pl.col("rank").min().over("poll_id", *race))
    return best.group_by("poll_id", *race, maintain_order=True).agg(
        pl.col("pollster").first().fill_null("unknown"), pl.col("grade", "population", "partisan", "end").first(),
        pl.col("sample").max(), pl.col("dem", "rep").mean(),
    ).select(pl.col(name).cast(dtype) for name, dtype in POLLS.items())  # fmt: skip


def _mapped(text: pl.Expr, table: dict[str, str]) -> pl.Expr:
    return text.replace_strict(table, default=None, return_dtype=pl.String)
