"""Which markets nest: ladders of strikes and deadlines, margins and their winner, duplicates.

A ladder is (event, subject, quantity), never the event alone: an event with spreads, team totals or player statistics
holds several subjects. The subject must be the same in the custom strike, in the words of outcome and question without
numbers and comparisons, and in the ticker's tail without digits; the rules of all rungs of one strike type must be the
same apart from their strikes. Markets that differ in any of these are on different ladders, and a subject whose rules
differ is on none.

| family | rungs | read from |
|---|---|---|
| ladder | strikes of one subject | `strike_type`, strikes, subject, form of the rules |
| deadline | "before" several dates | outcome and rules name the date; otherwise the rules are identical |
| margin | a game's winner and their winning margins | series …GAME and …SPREAD, same game and team, no tie |
| duplicate | the same question twice | identical rules, question, outcome, strikes and decision time |
| combination | a parlay and each of its legs | the custom strike; it has no rules text, so this is only assumed |
"""

from typing import Literal

import polars as pl

Family = Literal["ladder", "deadline", "margin", "duplicate", "combination"]

KIND = pl.col("strike_type")
ABOVE = KIND.is_in(["greater", "greater_or_equal"]) & pl.col("floor_strike").is_not_null()
BELOW = KIND.is_in(["less", "less_or_equal"]) & pl.col("cap_strike").is_not_null()
BETWEEN = (KIND == "between") & pl.col("floor_strike").is_not_null() & pl.col("cap_strike").is_not_null()
STRICT = KIND.is_in(["greater", "less"])

_COMPARISONS = (
    r"\b(?:over|under|above|below|at least|at most|more|less|fewer|greater|higher|lower|than|or|equal|to|between|and"
    r"|from|through|exceed|exceeds|exceeding)\b"
)
_NUMBER = r"[-+−–]?[$€£]?\b\d+(?:\.\d+)?(?:k|m|b|bn|tn)?\b%?°?"
_SEPARATOR = "\x1f"


def subject_key() -> pl.Expr:
    """Return a text that is equal for markets with a strike about one subject and quantity of one event."""
    tail = pl.col("ticker").str.strip_prefix(pl.col("event_ticker")).str.replace_all(r"[^A-Za-z]", "")
    # B and T say only "between" and "threshold".
    tail = pl.when(tail.is_in(["B", "T"])).then(pl.lit("")).otherwise(tail)
    parts = [
        pl.col("event_ticker"),
        pl.col("strike_target").fill_null(""),
        _plain_words("yes_sub_title"),
        _plain_words("title"),
        tail.fill_null(""),
    ]
    return pl.concat_str(parts, separator=_SEPARATOR)


def _plain_words(name: str) -> pl.Expr:
    """Return a text without numbers, comparisons and punctuation."""
    text = pl.col(name).fill_null("").str.to_lowercase()
    for pattern, replacement in (
        (r"(\d),(\d{3})", "${1}${2}"),
        # A separator can be followed by another one.
        (r"(\d),(\d{3})", "${1}${2}"),
        (_NUMBER, " "),
        (_COMPARISONS, " "),
        (r"[^\p{L}\p{N}]+", " "),
    ):
        text = text.str.replace_all(pattern, replacement)
    return text.str.strip_chars()


def strike_ladders(markets: pl.LazyFrame) -> pl.LazyFrame:
    """Return the markets that are on a ladder of strikes, with `family` and `ladder`, the ladder's name."""
    rungs = markets.filter(ABOVE | BELOW | BETWEEN).with_columns(ladder=subject_key())
    one_form = pl.col("rules_form").drop_nulls().n_unique().over("ladder", "strike_type") <= 1
    return rungs.filter(one_form).with_columns(family=pl.lit("ladder"))


def _deadlines(markets: pl.LazyFrame) -> pl.LazyFrame:
    """Markets with a deadline as rungs: a later deadline pays whenever an earlier one does."""
    dated = markets.filter(pl.col("rules_deadline").is_not_null() & pl.col("rules_form").is_not_null())
    name = [
        pl.col("event_ticker"),
        _first_word("yes_sub_title"),
        _plain_words("title"),
        pl.col("rules_form").cast(pl.String),
    ]
    return dated.with_columns(
        ladder=pl.concat_str(name, separator=_SEPARATOR),
        family=pl.lit("deadline"),
        strike_type=pl.lit("less"),
        cap_strike=pl.col("rules_deadline").cast(pl.Int32).cast(pl.Float64),
        floor_strike=pl.lit(None, dtype=pl.Float64),
    )


def _first_word(name: str) -> pl.Expr:
    return pl.col(name).fill_null("").str.to_lowercase().str.extract(r"^(\w*)")


def _margins(markets: pl.LazyFrame) -> pl.LazyFrame:
    """Winners of games without a tie, as a margin above zero, with the team's margins of the same game."""
    parts = pl.col("event_ticker").str.extract_groups(r"^(.+?)(GAME|SPREAD)-(.+)$")
    named = markets.with_columns(
        league=parts.struct.field("1"), kind=parts.struct.field("2"), game=parts.struct.field("3")
    ).filter(pl.col("kind").is_not_null())
    key = ["league", "game", "team"]
    winners = (
        named.filter((pl.col("kind") == "GAME") & (KIND == "structured") & pl.col("mutually_exclusive"))
        # Two outcomes: a tie is not one of them, so a team that leads has won.
        .filter((pl.len().over("event_ticker") == 2) & pl.col("rules_named"))
        .with_columns(team=pl.col("target"))
    )
    margins = named.filter((pl.col("kind") == "SPREAD") & ABOVE & (pl.col("floor_strike") >= 0)).with_columns(
        team=pl.col("strike_target").str.extract(r'"([0-9a-f-]{36})"')
    )
    teams = winners.select(*key, winner=pl.col("yes_sub_title"))
    margins = margins.join(teams, on=key, how="inner", maintain_order="left").filter(
        pl.col("yes_sub_title").str.starts_with(pl.concat_str("winner", pl.lit(" wins by ")))
    )
    winners = winners.with_columns(
        strike_type=pl.lit("greater"), floor_strike=pl.lit(0.0), cap_strike=pl.lit(None, dtype=pl.Float64)
    )
    rungs = pl.concat([winners, margins.drop("winner")])
    return (
        rungs.with_columns(ladder=pl.concat_str(key, separator=_SEPARATOR), family=pl.lit("margin"))
        .filter(pl.col("kind").n_unique().over("ladder") == 2)
        .drop("league", "kind", "game", "team")
    )


def _duplicates(markets: pl.LazyFrame) -> pl.LazyFrame:
    """Markets that ask the same question, as rungs at one place."""
    same = [
        "rules_hash",
        "title",
        "yes_sub_title",
        "strike_type",
        "floor_strike",
        "cap_strike",
        "target",
        "strike_target",
    ]
    name = pl.struct(*same, "decided_ts", "payout_low_u", "payout_high_u").hash().cast(pl.String)
    return (
        markets.filter(pl.col("rules_hash").is_not_null() & pl.col("yes_sub_title").is_not_null())
        .filter(pl.col("decided_ts").is_not_null())
        .with_columns(ladder=name, family=pl.lit("duplicate"))
        .filter(pl.len().over("ladder") > 1)
        .with_columns(
            strike_type=pl.lit("greater"), floor_strike=pl.lit(0.0), cap_strike=pl.lit(None, dtype=pl.Float64)
        )
    )


def _combinations(markets: pl.LazyFrame) -> pl.LazyFrame:
    """Combinations (parlays) with each of their legs: the leg pays whenever the combination does."""
    named = markets.filter(pl.col("strike_target").str.contains('"Associated Markets"', literal=True))
    pairs = named.select(
        combination="ticker",
        leg=pl.col("strike_target").str.extract(r'"Associated Markets"\s*:\s*"([^"]*)"').str.split(","),
        side=pl.col("strike_target").str.extract(r'"Associated Market Sides"\s*:\s*"([^"]*)"').str.split(","),
    ).filter(pl.col("leg").list.len() == pl.col("side").list.len())
    pairs = pairs.explode("leg", "side").filter(pl.col("side").is_in(["yes", "no"]))
    pairs = pairs.join(markets.select(leg="ticker"), on="leg", how="semi")
    name = pl.concat_str("combination", "leg", separator=_SEPARATOR)
    is_yes = pl.col("side") == "yes"
    legs = markets.join(pairs.with_columns(ladder=name), left_on="ticker", right_on="leg", maintain_order="left")
    # Where the combination needs NO of a leg, that leg is a "below", whose NO pays.
    legs = legs.with_columns(
        strike_type=pl.when(is_yes).then(pl.lit("greater")).otherwise(pl.lit("less")),
        floor_strike=pl.when(is_yes).then(0.0),
        cap_strike=pl.when(~is_yes).then(0.0),
    ).drop("combination", "side")
    whole = markets.join(
        pairs.select("combination", ladder=name), left_on="ticker", right_on="combination", maintain_order="left"
    ).with_columns(strike_type=pl.lit("greater"), floor_strike=pl.lit(1.0), cap_strike=pl.lit(None, dtype=pl.Float64))
    return pl.concat([legs, whole]).with_columns(family=pl.lit("combination"))


def all_rungs(markets: pl.LazyFrame) -> pl.LazyFrame:
    """Return the rungs of all families as strikes on one axis, with `family` and `ladder`.

    A market can be a rung of several ladders.
    """
    families = [strike_ladders, _deadlines, _margins, _duplicates, _combinations]
    columns = pl.col(markets.collect_schema().names())
    return pl.concat([rungs_of(markets).select(columns, "family", "ladder") for rungs_of in families])
