"""What a market is about, by evidence: the number that decides it, when, and between which values YES pays.

The exchange's own facts come first (series, strikes, closing time), the grammar of its tickers second. Where both
speak and contradict each other the market stays unlinked, with the reason: a model must not price what it only seems to
know.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import platformdirs
import polars as pl

from fairline.errors import ConfigError
from fairline.models.stations import stations

PRICES = ("price", "index")
KINDS = (*PRICES, "high", "low")
SURE = 0.95
"""What is less certain than this is not priced."""

_LINKS: dict[str, pl.DataType | type[pl.DataType]] = {
    "ticker": pl.String,
    "kind": pl.String,
    "subject": pl.String,
    "at_ts": pl.Datetime("us", "UTC"),
    "day": pl.Date,
    "window_s": pl.Float64,
    "low": pl.Float64,
    "low_open": pl.Boolean,
    "high": pl.Float64,
    "high_open": pl.Boolean,
    "confidence": pl.Float64,
    "evidence": pl.String,
    "reason": pl.String,
}
LINKS = pl.Schema(_LINKS)
"""YES pays from `low` to `high`, an absent one being no limit and an open one not itself included. `at_ts` is when the
number is read, `day` the local standard day that it is the extreme of. `reason` says why a market is not linked."""

_CLOCK = r"-\d\d[A-Z]{3}\d\dH?(\d\d)(\d\d)?"
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


@dataclass(frozen=True, slots=True)
class Subject:
    """What a series is about; see `subjects.toml`."""

    series: str
    kind: str
    subject: str
    window_s: float = 0.0
    utc_offset: int = 0


def subjects(path: Path | None = None) -> dict[str, Subject]:
    """The subjects that come along, and those of a file of one's own, which go first. Raises `ConfigError`.

    Without a path that is `subjects.toml` in the user's configuration folder, if there is one.
    """
    made = _subjects("subjects.toml", tomllib.loads(files("fairline.models").joinpath("subjects.toml").read_text()))
    own = platformdirs.user_config_path("fairline") / "subjects.toml"
    if path is None:
        if not own.is_file():
            return made
        path = own
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read ({error})", remedy="Mend it") from None
    return made | _subjects(str(path), content)


def link(markets: pl.DataFrame, known: Mapping[str, Subject] | None = None) -> pl.DataFrame:
    """LINKS of the markets (MARKETS columns) whose series is known, in their order."""
    known = subjects() if known is None else known
    table = pl.DataFrame(
        [(s.series, s.kind, s.subject, s.window_s, s.utc_offset) for s in known.values()],
        schema={"series_ticker": pl.String, "kind": pl.String, "subject": pl.String, "window_s": pl.Float64,
                "utc_offset": pl.Int64}, orient="row",
    )  # fmt: skip
    # The part of the ticker before the dash is the series by the exchange's habit; where the series is known it counts.
    series = pl.coalesce("series_ticker", pl.col("event_ticker").str.split("-").list.first())
    mine = markets.with_columns(series_ticker=series).join(
        table, on="series_ticker", how="inner", maintain_order="left"
    )
    local = pl.col("close_ts") + pl.duration(hours=pl.col("utc_offset")) - pl.duration(minutes=1)
    price, clock = pl.col("kind").is_in(PRICES), pl.col("event_ticker").str.extract_groups(_CLOCK)
    made = mine.with_columns(
        **_interval(),
        at_ts=pl.col("close_ts"),
        closing_day=pl.when(price).then(new_york(pl.col("close_ts")).dt.date()).otherwise(local.dt.date()),
        closing_minute=pl.col("close_ts").dt.minute(),
        closing_hour=pl.when(price).then(new_york(pl.col("close_ts")).dt.hour()),
        told_day=told_day(),
        told_hour=clock.struct.field("1").cast(pl.Int8, strict=False),
        told_minute=clock.struct.field("2").cast(pl.Int8, strict=False).fill_null(0),
    )
    return _judged(made).select(pl.col(name).cast(dtype) for name, dtype in LINKS.items())


def pays(value: pl.Expr) -> pl.Expr:
    """Whether YES of a linked market pays at a value."""
    above = pl.when("low_open").then(value > pl.col("low")).otherwise(value >= pl.col("low"))
    below = pl.when("high_open").then(value < pl.col("high")).otherwise(value <= pl.col("high"))
    return (pl.col("low").is_null() | above) & (pl.col("high").is_null() | below)


def _interval() -> dict[str, pl.Expr]:
    """The values at which YES pays, by `strike_type` and strikes."""
    kind = pl.col("strike_type")
    from_floor, to_cap = (
        kind.is_in(["greater", "greater_or_equal", "between"]),
        kind.is_in(["less", "less_or_equal", "between"]),
    )
    return {
        "low": pl.when(from_floor).then("floor_strike"),
        "low_open": kind == "greater",
        "high": pl.when(to_cap).then("cap_strike"),
        "high_open": kind == "less",
        "strikes": (
            pl.when(~(from_floor | to_cap).fill_null(value=False))
            .then(pl.format("strike type {} is not a range of values", pl.col("strike_type").fill_null("none")))
            .when((from_floor & pl.col("floor_strike").is_null()) | (to_cap & pl.col("cap_strike").is_null()))
            .then(pl.lit("a strike is missing"))
            .when(pl.col("floor_strike") > pl.col("cap_strike"))
            .then(pl.lit("the floor lies above the cap"))
        ),
    }


def told_day() -> pl.Expr:
    """The day in an event's ticker, such as 26MAR30."""
    parts = pl.col("event_ticker").str.extract_groups(r"-(\d\d)([A-Z]{3})(\d\d)")
    month = parts.struct.field("2").replace_strict(
        {m: n + 1 for n, m in enumerate(_MONTHS)}, default=None, return_dtype=pl.Int8
    )
    year, day = (parts.struct.field(name).cast(pl.Int32, strict=False) for name in ("1", "3"))
    text = pl.format("{}-{}-{}", 2000 + year, month.cast(pl.String).str.zfill(2), day.cast(pl.String).str.zfill(2))
    return text.str.to_date("%Y-%m-%d", strict=False)


def new_york(moment: pl.Expr) -> pl.Expr:
    return moment.dt.convert_time_zone("America/New_York")


def _judged(made: pl.DataFrame) -> pl.DataFrame:
    """Confidence and evidence, or the reason against."""
    price = pl.col("kind").is_in(PRICES)
    day_agrees = pl.col("told_day") == pl.col("closing_day")
    hour_agrees = pl.col("told_hour") == pl.col("closing_hour")
    reason = pl.coalesce(
        pl.when(pl.col("market_type") != "binary").then(pl.format("a {} market has no YES and NO", "market_type")),
        "strikes",
        _outcome(),
        _station(),
        pl.when(pl.col("rules_day") != pl.coalesce("told_day", "closing_day")).then(
            pl.format(
                "the ticker or closing time says {}, the rules {}", pl.coalesce("told_day", "closing_day"), "rules_day"
            )
        ),
        _title(),
        pl.when(~day_agrees).then(pl.format("the ticker says {}, the closing time {}", "told_day", "closing_day")),
        pl.when(pl.col("told_hour").is_not_null() & price & (pl.col("closing_minute") != pl.col("told_minute"))).then(
            pl.format("the ticker says {} minutes past the hour, the closing time {}", "told_minute", "closing_minute")
        ),
        pl.when(~hour_agrees).then(
            pl.format("the ticker says {} o'clock, the closing time {}", "told_hour", "closing_hour")
        ),
    )
    agreed = day_agrees.fill_null(value=False)
    evidence = pl.concat_str(
        pl.lit("series, strikes, closing time"),
        pl.when(agreed).then(pl.lit(", ticker")),
        pl.when(pl.col("yes_sub_title").str.contains(_NUMBER)).then(pl.lit(", outcome")),
        pl.when(pl.col("rules_station").is_not_null() | pl.col("rules_day").is_not_null()).then(pl.lit(", rules")),
        ignore_nulls=True,
    )
    sure = pl.when(agreed).then(0.99).otherwise(0.9)
    return made.with_columns(reason=reason).with_columns(
        confidence=pl.when(pl.col("reason").is_null()).then(sure).otherwise(0.0),
        evidence=evidence,
        day=pl.when(~price).then("closing_day"),
    )


_NUMBER = r"\d[\d,]*(?:\.\d+)?"
_STEP = 1.0
"""An outcome such as "86° or above" begins a degree above its strike of 85, one of "$1,030 or above" a cent."""


def _outcome() -> pl.Expr:
    """Why the outcome's name is not of the interval that the strikes make, where it has one."""
    name = pl.col("yes_sub_title")
    numbers = name.str.extract_all(_NUMBER).list.eval(
        pl.element().str.replace_all(",", "").cast(pl.Float64, strict=False)
    )
    first, last = numbers.list.first(), numbers.list.last()
    off = (first - pl.coalesce("low", "high")).abs().fill_null(0.0) > _STEP
    off |= (last - pl.coalesce("high", "low")).abs().fill_null(0.0) > _STEP
    up, down = (name.str.contains(rf"(?i)\bor ({words})\b").fill_null(value=False) for words in (
        "above|more|higher|greater", "below|less|lower|fewer"))  # fmt: skip
    wrong = off | (up & pl.col("high").is_not_null()) | (down & pl.col("low").is_not_null())
    return pl.when(wrong).then(pl.format("the outcome is {}, its strikes are not", name))


# By what a title names a subject; words that other subjects' titles do not have.
_NAMES = {"BTC": "(?i)bitcoin", "ETH": r"(?i)\bether", "SPX": "(?i)s&p", "NDX": "(?i)nasdaq"}


def _title() -> pl.Expr:
    """Why the title is not about the subject: it names another."""
    title, subject = pl.col("title"), pl.col("subject")
    named = {name: title.str.contains(words).fill_null(value=False) for name, words in _NAMES.items()}
    other = pl.any_horizontal(*(found & (subject != name) for name, found in named.items()))
    own = pl.any_horizontal(*(found & (subject == name) for name, found in named.items()))
    return pl.when(other & ~own).then(pl.format("its title is {}", title))


def _station() -> pl.Expr:
    """Why the station that settles is not the one that the series is known by, as far as the rules tell."""
    told, known = pl.col("rules_station"), pl.col("subject").str.slice(1)
    weather = ~pl.col("kind").is_in(PRICES)
    return (
        pl.when(weather & (told != known))
        .then(pl.format("the rules say the station {}, not {}", told, known))
        .when(weather & told.is_null())
        .then(pl.lit("the rules name no station"))
        .when(weather & (pl.col("rules_extreme") != pl.col("kind")))
        .then(pl.format("the rules are of a {}, not of a {}", "rules_extreme", "kind"))
    )


def _subjects(where: str, content: Mapping[str, Any]) -> dict[str, Subject]:
    made, places = {}, stations()
    for series, table in content.items():
        try:
            place = places.get(table.get("subject", ""))
            offset = {} if place is None else {"utc_offset": place.utc_offset}
            made[series] = Subject(series, **(offset | table))
        except (AttributeError, TypeError) as error:
            raise ConfigError(f"{where}: {series} cannot be used ({error})", remedy="See docs/models.md") from None
        if made[series].kind not in KINDS:
            raise ConfigError(
                f"{where}: {series} has the kind {made[series].kind!r}", remedy=f"Kinds: {', '.join(KINDS)}"
            )
    return made
