"""Which election a market is about and whose win YES pays: offices that a party wins, by the exchange's own tickers.

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
"""`side` is dem or rep; `place` is a state's postal code, US for the presidency. That of a special election ends in S.
"""

_EVENT = r"^(?:(?:KX)?(SENATE|GOVPARTY)([A-Z]{2}S?)|KX(PRESPARTY))-(?:20)?(\d\d)$"
_OFFICES = {"SENATE": "senate", "GOVPARTY": "governor", "PRESPARTY": "president"}
_PLACES = sorted(set(place_codes().values()))
_PARTIES = {"D": "dem", "R": "rep"}
_PARTY_NAMES = {
    **dict.fromkeys(("democrat", "democrats", "democratic", "democraticparty", "democraticcandidate"), "dem"),
    **dict.fromkeys(("republican", "republicans", "republicanparty", "republicancandidate"), "rep"),
}


def is_race() -> pl.Expr:
    """Return whether a market's event is an election that a party wins."""
    return pl.col("event_ticker").str.contains(_EVENT)


def link_races(markets: pl.DataFrame) -> pl.DataFrame:
    """Return RACE_LINKS of the markets (MARKETS columns) of such elections, in their order."""
    parts = pl.col("event_ticker").str.extract_groups(_EVENT).struct
    code = pl.col("ticker").str.strip_prefix(pl.col("event_ticker")).str.strip_prefix("-")
    name = pl.col("yes_sub_title").str.to_lowercase().str.replace_all("[^a-z]", "")
    rows = markets.filter(is_race()).with_columns(
        office=parts.field("1").fill_null(parts.field("3")).replace(_OFFICES),
        place=parts.field("2").fill_null(NATION),
        year=2000 + parts.field("4").cast(pl.Int64),
        side=code.replace_strict(_PARTIES, default=None, return_dtype=pl.String),
        named=name.replace_strict(_PARTY_NAMES, default=None, return_dtype=pl.String),
    )
    rows = rows.with_columns(reason=_fault())
    name_agrees = pl.col("named") == pl.col("side")
    has_fault = pl.col("reason").is_not_null()
    evidence = pl.concat_str(
        pl.lit("event, ticker"),
        pl.when(name_agrees).then(pl.lit(", name")),
        pl.when("rules_named").then(pl.lit(", rules")),
        ignore_nulls=True,
    )
    confidence = pl.when(has_fault).then(0.0).when(name_agrees).then(0.99).otherwise(0.9)
    rows = rows.with_columns(confidence=confidence, evidence=evidence)
    return rows.select(pl.col(name).cast(dtype) for name, dtype in RACE_LINKS.items())


def _fault() -> pl.Expr:
    """Why a market is not linked, null if nothing contradicts."""
    place, side, year = pl.col("place"), pl.col("side"), pl.col("year")
    is_place = place.str.strip_suffix("S").is_in(_PLACES) | place.is_in(_PLACES)
    is_presidency = pl.col("office") == "president"
    return pl.coalesce(
        pl.when(pl.col("market_type") != "binary").then(pl.format("a {} market has no YES and NO", "market_type")),
        pl.when(~is_place).then(pl.format("{} is not a place", "place")),
        pl.when((place == NATION) != is_presidency).then(pl.format("{} has no such office", "place")),
        pl.when(side.is_null()).then(pl.lit("it is not about one of the two parties")),
        pl.when(side.is_null().any().over("event_ticker")).then(pl.lit("the race has a third outcome")),
        pl.when(pl.col("named") != side).then(
            pl.format("the outcome is {}, the ticker says {}", "yes_sub_title", "side")
        ),
        pl.when(~pl.col("rules_named")).then(pl.format("the rules do not name {}", "yes_sub_title")),
        pl.when(pl.col("close_ts").dt.year() < year).then(pl.lit("it closes before the year of its ticker")),
    )
