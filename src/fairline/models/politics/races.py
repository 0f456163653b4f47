"""Which election a market is about, and whose win YES pays: offices that a party wins, by the exchange's own tickers.

`SENATEOH-28-D` is the Senate seat of Ohio in 2028, won by the Democratic candidate; the outcome's name has to agree.
"""

import polars as pl

from fairline.models.politics.states import NATION, place_codes

_LINKS: dict[str, pl.DataType | type[pl.DataType]] = {
    "ticker": pl.String,
    "office": pl.String,
    "place": pl.String,
    "year": pl.Int64,
    "side": pl.String,
    "confidence": pl.Float64,
    "evidence": pl.String,
    "reason": pl.String,
}
RACE_LINKS = pl.Schema(_LINKS)
"""`side` is dem or rep; `place` a state's postal code, US for the presidency. A special election's place ends in S."""

_EVENT = r"^(?:(?:KX)?(SENATE|GOVPARTY)([A-Z]{2}S?)|KX(PRESPARTY))-(?:20)?(\d\d)$"
_PLACES = sorted(set(place_codes().values()))
_PARTIES = {"D": "dem", "R": "rep"}
_NAMES = {
    **dict.fromkeys(("democrat", "democrats", "democratic", "democraticparty", "democraticcandidate"), "dem"),
    **dict.fromkeys(("republican", "republicans", "republicanparty", "republicancandidate"), "rep"),
}


def is_race() -> pl.Expr:
    """Whether a market's event is an election that a party wins."""
    return pl.col("event_ticker").str.contains(_EVENT)


def link_races(markets: pl.DataFrame) -> pl.DataFrame:
    """RACE_LINKS of the markets (MARKETS columns) of such elections, in their order."""
    parts = pl.col("event_ticker").str.extract_groups(_EVENT).struct
    office = parts.field("1").fill_null(parts.field("3")).replace(
        {"SENATE": "senate", "GOVPARTY": "governor", "PRESPARTY": "president"}
    )  # fmt: skip
    code = pl.col("ticker").str.strip_prefix(pl.col("event_ticker")).str.strip_prefix("-")
    name = pl.col("yes_sub_title").str.to_lowercase().str.replace_all("[^a-z]", "")
    rows = markets.filter(is_race()).with_columns(
        office=office,
        place=parts.field("2").fill_null("US"),
        year=2000 + parts.field("4").cast(pl.Int64),
        side=code.replace_strict(_PARTIES, default=None, return_dtype=pl.String),
        named=name.replace_strict(_NAMES, default=None, return_dtype=pl.String),
    )
    side, named = pl.col("side"), pl.col("named")
    rows = rows.with_columns(
        reason=pl.coalesce(
            pl.when(pl.col("market_type") != "binary").then(pl.format("a {} market has no YES and NO", "market_type")),
            pl.when(~pl.col("place").str.strip_suffix("S").is_in(_PLACES) & ~pl.col("place").is_in(_PLACES)).then(
                pl.format("{} is no place", "place")
            ),
            pl.when((pl.col("place") == NATION) != (pl.col("office") == "president")).then(
                pl.format("{} has no such office", "place")
            ),
            pl.when(side.is_null()).then(pl.lit("it is not about one of the two parties")),
            pl.when(side.is_null().any().over("event_ticker")).then(pl.lit("the race has a third outcome")),
            pl.when(named != side).then(pl.format("the outcome is {}, the ticker says {}", "yes_sub_title", "side")),
            pl.when(~pl.col("rules_named")).then(pl.format("the rules do not name {}", "yes_sub_title")),
            pl.when(pl.col("close_ts").dt.year() < pl.col("year")).then(
                pl.lit("it closes before the year of its ticker")
            ),
        )
    )
    sure = pl.when(pl.col("reason").is_not_null()).then(0.0).when(named == side).then(0.99).otherwise(0.9)
    evidence = pl.concat_str(
        pl.lit("event, ticker"), pl.when(named == side).then(pl.lit(", name")),
        pl.when("rules_named").then(pl.lit(", rules")), ignore_nulls=True,
    )  # fmt: skip
    made = rows.with_columns(confidence=sure, evidence=evidence)
    return made.select(pl.col(name).cast(dtype) for name, dtype in RACE_LINKS.items())
