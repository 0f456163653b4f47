"""What a market is about, by evidence: the number that decides it, when, and between which values YES pays.

The exchange's own facts (series, strikes, closing time) come first, the grammar of its tickers second. Where two pieces
of evidence contradict each other the market stays unlinked, with the reason, because a model must not price a market
that it misreads.
"""

from collections.abc import Mapping

import polars as pl

from fairline.models.stations import load_stations
from fairline.models.subjects import PRICE_KINDS, Subject, load_subjects

MIN_CONFIDENCE = 0.95
"""Links with less confidence are not priced."""

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
"""YES pays from `low` to `high`; a null bound is no limit, an open one is itself excluded. `at_ts` is when the number
is read, `day` the local standard day whose extreme it is. `reason` says why a market is not linked."""

_CLOCK = r"-\d\d[A-Z]{3}\d\dH?(\d\d)(\d\d)?"
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_NUMBER = r"-?\d[\d,]*(?:\.\d+)?"
_ROUNDING = 1e-9
_MOST_DECIMALS = 6
_UP = r"(?i)\bor (above|more|higher|greater)\b"
_DOWN = r"(?i)\bor (below|less|lower|fewer)\b"
_TITLE_WORDS = {"BTC": "(?i)bitcoin", "ETH": r"(?i)\bether", "SPX": "(?i)s&p", "NDX": "(?i)nasdaq"}
"""How titles name a subject, in pattern that titles of other subjects do not contain."""


def link(markets: pl.DataFrame, subjects: Mapping[str, Subject] | None = None) -> pl.DataFrame:
    """Return LINKS of the markets (MARKETS columns) whose series is known, in their order."""
    subjects = load_subjects(stations=load_stations()) if subjects is None else subjects
    # By the exchange's habit the part of a ticker before the dash is its series; it counts only for known series.
    series = pl.coalesce("series_ticker", pl.col("event_ticker").str.split("-").list.first())
    rows = markets.with_columns(series_ticker=series).join(
        _subject_frame(subjects), on="series_ticker", how="inner", maintain_order="left"
    )
    rows = rows.with_columns(**_interval(), **_times(), **_outcome_numbers())
    return _judge(rows).select(pl.col(name).cast(dtype) for name, dtype in LINKS.items())


def pays(value: pl.Expr) -> pl.Expr:
    """Return whether YES of a linked market pays at a value."""
    above = pl.when("low_open").then(value > pl.col("low")).otherwise(value >= pl.col("low"))
    below = pl.when("high_open").then(value < pl.col("high")).otherwise(value <= pl.col("high"))
    return (pl.col("low").is_null() | above) & (pl.col("high").is_null() | below)


def ticker_day() -> pl.Expr:
    """Return the day in an event's ticker, such as 26MAR30."""
    parts = pl.col("event_ticker").str.extract_groups(r"-(\d\d)([A-Z]{3})(\d\d)").struct
    numbers = {month: number + 1 for number, month in enumerate(_MONTHS)}
    month = parts.field("2").replace_strict(numbers, default=None, return_dtype=pl.Int8)
    year, day = (parts.field(name).cast(pl.Int32, strict=False) for name in ("1", "3"))
    text = pl.format("{}-{}-{}", 2000 + year, _two_digits(month), _two_digits(day))
    return text.str.to_date("%Y-%m-%d", strict=False)


def in_new_york(moment: pl.Expr) -> pl.Expr:
    """Return a UTC time in New York's time zone."""
    return moment.dt.convert_time_zone("America/New_York")


def _two_digits(number: pl.Expr) -> pl.Expr:
    return number.cast(pl.String).str.zfill(2)


def _subject_frame(subjects: Mapping[str, Subject]) -> pl.DataFrame:
    rows = [(s.series, s.kind, s.subject, s.window_s, s.utc_offset, s.published_step) for s in subjects.values()]
    schema = {
        "series_ticker": pl.String,
        "kind": pl.String,
        "subject": pl.String,
        "window_s": pl.Float64,
        "utc_offset": pl.Int64,
        "step": pl.Float64,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def _is_price() -> pl.Expr:
    return pl.col("kind").is_in(PRICE_KINDS)


def _times() -> dict[str, pl.Expr]:
    """Day, hour and minute by the closing time and by the ticker. A day of weather ends a minute before it closes."""
    close = pl.col("close_ts")
    local = close + pl.duration(hours=pl.col("utc_offset")) - pl.duration(minutes=1)
    clock = pl.col("event_ticker").str.extract_groups(_CLOCK).struct
    return {
        "at_ts": close,
        "closing_day": pl.when(_is_price()).then(in_new_york(close).dt.date()).otherwise(local.dt.date()),
        "closing_minute": close.dt.minute(),
        "closing_hour": pl.when(_is_price()).then(in_new_york(close).dt.hour()),
        "ticker_day": ticker_day(),
        "ticker_hour": clock.field("1").cast(pl.Int8, strict=False),
        "ticker_minute": clock.field("2").cast(pl.Int8, strict=False).fill_null(0),
    }


def _interval() -> dict[str, pl.Expr]:
    """Return the values at which YES pays, by `strike_type` and strikes, and what is wrong with them."""
    kind, floor, cap = pl.col("strike_type"), pl.col("floor_strike"), pl.col("cap_strike")
    has_floor = kind.is_in(["greater", "greater_or_equal", "between"])
    has_cap = kind.is_in(["less", "less_or_equal", "between"])
    is_range = (has_floor | has_cap).fill_null(value=False)
    fault = pl.coalesce(
        pl.when(~is_range).then(pl.format("strike type {} is not a range of values", kind.fill_null("none"))),
        pl.when((has_floor & floor.is_null()) | (has_cap & cap.is_null())).then(pl.lit("a strike is missing")),
        pl.when(floor > cap).then(pl.lit("the floor is above the cap")),
    )
    return {
        "low": pl.when(has_floor).then(floor),
        "low_open": kind == "greater",
        "high": pl.when(has_cap).then(cap),
        "high_open": kind == "less",
        "strike_fault": fault,
    }


def _judge(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows with confidence and evidence, or the reason against a link."""
    reason = pl.coalesce(
        pl.when(pl.col("market_type") != "binary").then(pl.format("a {} market has no YES and NO", "market_type")),
        "strike_fault",
        _outcome_fault(),
        _station_fault(),
        _title_fault(),
        _time_fault(),
    )
    rows = rows.with_columns(reason=reason, evidence=_evidence())
    confident = pl.when(_day_agrees()).then(0.99).otherwise(0.9)
    return rows.with_columns(
        confidence=pl.when(pl.col("reason").is_null()).then(confident).otherwise(0.0),
        day=pl.when(~_is_price()).then("closing_day"),
    )


def _day_agrees() -> pl.Expr:
    return (pl.col("ticker_day") == pl.col("closing_day")).fill_null(value=False)


def _evidence() -> pl.Expr:
    """Return the pieces of evidence that could have contradicted the link."""
    return pl.concat_str(
        pl.lit("series, strikes, closing time"),
        pl.when(_day_agrees()).then(pl.lit(", ticker")),
        pl.when(pl.col("first_number").is_not_null()).then(pl.lit(", outcome")),
        pl.when(pl.col("rules_station").is_not_null() | pl.col("rules_day").is_not_null()).then(pl.lit(", rules")),
        ignore_nulls=True,
    )


def _time_fault() -> pl.Expr:
    """Return a contradiction between the days and hours of ticker, rules and closing time."""
    day = pl.coalesce("ticker_day", "closing_day")
    minute_differs = pl.col("closing_minute") != pl.col("ticker_minute")
    has_clock = pl.col("ticker_hour").is_not_null() & _is_price()
    return pl.coalesce(
        pl.when(pl.col("rules_day") != day).then(
            pl.format("the ticker or closing time says {}, the rules {}", day, "rules_day")
        ),
        pl.when(pl.col("ticker_day") != pl.col("closing_day")).then(
            pl.format("the ticker says {}, the closing time {}", "ticker_day", "closing_day")
        ),
        pl.when(has_clock & minute_differs).then(
            pl.format(
                "the ticker says {} minutes past the hour, the closing time {}", "ticker_minute", "closing_minute"
            )
        ),
        pl.when(pl.col("ticker_hour") != pl.col("closing_hour")).then(
            pl.format("the ticker says {} o'clock, the closing time {}", "ticker_hour", "closing_hour")
        ),
    )


def _outcome_numbers() -> dict[str, pl.Expr]:
    """Return the first and last number in an outcome's name with their signs; the hyphen of "66-67°" is not a sign."""
    name = pl.col("yes_sub_title").str.replace_all("\u2212", "-").str.replace_all(r"(\d°?)\s*[-–]\s*(\d)", "$1 to $2")
    numbers = name.str.extract_all(_NUMBER).list
    return {
        "first_number": numbers.first().str.replace_all(",", "").cast(pl.Float64, strict=False),
        "last_number": numbers.last().str.replace_all(",", "").cast(pl.Float64, strict=False),
    }


def _outcome_fault() -> pl.Expr:
    """Return a contradiction between the numbers or words of an outcome's name and its strikes."""
    low, high, name = pl.col("low"), pl.col("high"), pl.col("yes_sub_title")
    tolerance = _tolerance() + _ROUNDING
    # "86° or above" begins one step above its open strike of 85, and "$1,030 or above" one cent above 1,029.99.
    first_off = (pl.col("first_number") - pl.coalesce(low, high)).abs().fill_null(0.0) > tolerance
    last_off = (pl.col("last_number") - pl.coalesce(high, low)).abs().fill_null(0.0) > tolerance
    up_but_capped = name.str.contains(_UP).fill_null(value=False) & high.is_not_null()
    down_but_floored = name.str.contains(_DOWN).fill_null(value=False) & low.is_not_null()
    wrong = first_off | last_off | up_but_capped | down_but_floored
    return pl.when(wrong).then(pl.format("the outcome is {}, its strikes are not", name))


def _tolerance() -> pl.Expr:
    """Return how far outcome and strike may differ: a unit of the last decimal, at most the quantity's step."""
    return pl.min_horizontal("step", *(_last_unit(name) for name in ("first_number", "last_number", "low", "high")))


def _last_unit(name: str) -> pl.Expr:
    """Return the unit of a number's last decimal, such as 0.01 for 1029.99; null for no number."""
    value = pl.col(name)
    unit = pl.lit(10.0**-_MOST_DECIMALS)
    for decimals in reversed(range(_MOST_DECIMALS)):
        is_exact = (value - value.round(decimals)).abs() < _ROUNDING
        unit = pl.when(is_exact).then(10.0**-decimals).otherwise(unit)
    return pl.when(value.is_not_null()).then(unit)


def _title_fault() -> pl.Expr:
    """Return a title that names another subject and not this one."""
    title, subject = pl.col("title"), pl.col("subject")
    named = {name: title.str.contains(pattern).fill_null(value=False) for name, pattern in _TITLE_WORDS.items()}
    names_other = pl.any_horizontal(*(is_named & (subject != name) for name, is_named in named.items()))
    names_own = pl.any_horizontal(*(is_named & (subject == name) for name, is_named in named.items()))
    return pl.when(names_other & ~names_own).then(pl.format("its title is {}", title))


def _station_fault() -> pl.Expr:
    """Return a contradiction between the rules and the station or extreme that the series is known by."""
    stated, known = pl.col("rules_station"), pl.col("subject").str.slice(1)
    fault = (
        pl.when(stated != known)
        .then(pl.format("the rules say the station {}, not {}", stated, known))
        .when(stated.is_null())
        .then(pl.lit("the rules name no station"))
        .when(pl.col("rules_extreme") != pl.col("kind"))
        .then(pl.format("the rules are of a {}, not of a {}", "rules_extreme", "kind"))
    )
    return pl.when(~_is_price()).then(fault)
