"""The only place where rows of the exchange become typed columns.

Units are in the names: `_u` integer micro-dollars, `_cc` integer hundredths of a contract, `_ts` UTC. A side of the
book exists only if its size is above zero and its price lies strictly between zero and the notional; an absent side is
null. MARKETS has no outcome column: a model must not see how a market ended.
"""

from collections.abc import Sequence

import msgspec
import polars as pl

from fairline.kalshi.decoding import Rejected
from fairline.kalshi.wire import Event, Market, Series
from fairline.market.wording import Facts, read_facts, settlement_station

NOTIONAL_U = 1_000_000
FEE_UNIT = 10_000
"""Fee multipliers are integers in units of 1/10,000 (`_m`), so that 0.5 is 5,000."""

_Types = dict[str, pl.DataType | type[pl.DataType]]
_TIME = pl.Datetime("us", "UTC")

_MARKETS: _Types = {
    "ticker": pl.String,
    "event_ticker": pl.String,
    "series_ticker": pl.String,
    "category": pl.String,
    "title": pl.String,
    "yes_sub_title": pl.String,
    "status": pl.String,
    "market_type": pl.String,
    "yes_bid_u": pl.Int64,
    "yes_ask_u": pl.Int64,
    "yes_bid_size_cc": pl.Int64,
    "yes_ask_size_cc": pl.Int64,
    "last_price_u": pl.Int64,
    "volume_cc": pl.Int64,
    "volume_24h_cc": pl.Int64,
    "open_interest_cc": pl.Int64,
    "created_ts": _TIME,
    "open_ts": _TIME,
    "close_ts": _TIME,
    "decided_ts": _TIME,
    "fee_waiver_ts": _TIME,
    "strike_type": pl.String,
    "floor_strike": pl.Float64,
    "cap_strike": pl.Float64,
    "target": pl.String,
    "strike_target": pl.String,
    "rules_day": pl.Date,
    "rules_named": pl.Boolean,
    "rules_station": pl.String,
    "rules_extreme": pl.String,
    "rules_deadline": pl.Date,
    "rules_hash": pl.Int64,
    "rules_form": pl.Int64,
    "payout_low_u": pl.Int64,
    "payout_high_u": pl.Int64,
    "milestone_ts": _TIME,
    "home_target": pl.String,
    "away_target": pl.String,
    "price_level_structure": pl.String,
    "price_ranges": pl.Categorical(),
    "is_provisional": pl.Boolean,
    "mutually_exclusive": pl.Boolean,
    "fee_type": pl.String,
    "fee_multiplier_m": pl.Int64,
}
MARKETS = pl.Schema(_MARKETS)

_PREDICTIONS: _Types = {
    "ticker": pl.String,
    "p": pl.Float64,
    "p_sd": pl.Float64,
    "model": pl.String,
    "asof": _TIME,
    "note": pl.String,
}
PREDICTIONS = pl.Schema(_PREDICTIONS)

_PRICES = ("yes_bid_dollars", "yes_ask_dollars")
_SIZES = ("yes_bid_size_fp", "yes_ask_size_fp")
_REQUIRED = (*_PRICES, *_SIZES, "close_time")
_REASONS = {
    **dict.fromkeys(_PRICES, "not a dollar amount between 0 and 1 with at most 6 decimals"),
    **dict.fromkeys(_SIZES, "not a count with at most 2 decimals"),
    "close_time": "not an RFC 3339 time",
    "notional_value_dollars": "not 1.0000: prices of other notionals are not probabilities",
}
_WIRE = Market.__struct_fields__
_WIRE_SCHEMA: _Types = dict.fromkeys((*_WIRE, *Facts._fields), pl.String)
_WIRE_SCHEMA |= dict.fromkeys(("floor_strike", "cap_strike"), pl.Float64)
_WIRE_SCHEMA |= dict.fromkeys(("is_provisional", "rules_named"), pl.Boolean)
_WIRE_SCHEMA |= dict.fromkeys(("rules_hash", "rules_form"), pl.Int64)
for _name in ("custom_strike", "rules_primary"):
    _WIRE_SCHEMA.pop(_name)


def markets_frame(rows: Sequence[Market]) -> tuple[pl.DataFrame, list[Rejected]]:
    """Return MARKETS of these rows, and the rows that cannot be read, with field, value and reason.

    Columns from series and events are null until `with_context`.
    """
    return parse_markets(wire_frame(rows))


def wire_frame(rows: Sequence[Market]) -> pl.DataFrame:
    """Return the rows as columns of the texts that the exchange sent.

    Done page by page, so that the decoded objects do not have to live longer. Of the rules' text only the facts in
    `wording.Facts` are retained.
    """
    columns: list[Sequence[object]] = (
        [*zip(*map(msgspec.structs.astuple, rows), strict=True)] if rows else [()] * len(_WIRE)
    )
    wire = dict(zip(_WIRE, columns, strict=True))
    wire["price_ranges"] = [str(row.price_ranges, "utf-8", "replace") for row in rows]
    facts = [read_facts(row) for row in rows]
    for place, name in enumerate(Facts._fields):
        wire[name] = [each[place] for each in facts]
    return pl.DataFrame(
        [pl.Series(name, wire[name], dtype=dtype, strict=False) for name, dtype in _WIRE_SCHEMA.items()]
    )


def parse_markets(wire: pl.DataFrame) -> tuple[pl.DataFrame, list[Rejected]]:
    """Parse the columns of `wire_frame` to MARKETS; also return the rows that cannot be read."""
    parsed = wire.with_columns(
        yes_bid_u=dollar_units("yes_bid_dollars"),
        yes_ask_u=dollar_units("yes_ask_dollars"),
        yes_bid_size_cc=count_units("yes_bid_size_fp"),
        yes_ask_size_cc=count_units("yes_ask_size_fp"),
        close_ts=_time("close_time"),
        created_ts=_moment("created_time"),
        open_ts=_moment("open_time"),
        unusual=_unusual("created_time") | _unusual("open_time"),
        notional_u=_notional(wire["notional_value_dollars"]),
    ).with_columns(bad=_bad_field())
    if parsed["unusual"].any():
        parsed = parsed.with_columns(created_ts=_time("created_time"), open_ts=_time("open_time"))
    rejected: list[Rejected] = []
    if parsed["bad"].null_count() < parsed.height:
        bad = parsed.filter(pl.col("bad").is_not_null()).select("ticker", "bad", _bad_value(pl.col("bad")))
        rejected = [Rejected(ticker, name, f'"{value}"', _REASONS[name]) for ticker, name, value in bad.iter_rows()]
        parsed = parsed.filter(pl.col("bad").is_null())
    return parsed.select(*_columns()), rejected


def empty_markets() -> pl.DataFrame:
    return MARKETS.to_frame()


def with_context(markets: pl.DataFrame, series: Sequence[Series], events: Sequence[Event]) -> pl.DataFrame:
    """Fill series, category, exclusiveness, fee terms and milestone from the event and its series.

    If its event is not among `events`, a market's series is the part of its ticker before the first dash, provided
    that a series of that name exists: this is only a convention of the exchange.
    """
    # Only the columns that change are joined: a join copies every column that it carries.
    context = (
        markets.select("event_ticker", "title", "rules_station")
        .join(_events_frame(events), on="event_ticker", how="left", maintain_order="left")
        .with_columns(
            series_ticker=pl.coalesce("series_ticker", pl.col("event_ticker").str.split("-").list.first()),
        )
        .join(_series_frame(series), on="series_ticker", how="left", maintain_order="left")
        .select(
            "mutually_exclusive",
            "milestone_ts",
            "home_target",
            "away_target",
            series_ticker=pl.when(pl.col("known_series") | pl.col("known_event")).then("series_ticker"),
            category=pl.coalesce("category", "event_category"),
            title=pl.coalesce(pl.col("title").replace("", None), "event_title"),
            fee_type=pl.coalesce("event_fee_type", "fee_type"),
            fee_multiplier_m=pl.coalesce("event_multiplier_m", "fee_multiplier_m"),
            # Rules that name a place but no station leave it to the settlement source of the series.
            rules_station=pl.coalesce("rules_station", "settlement_station"),
        )
    )
    return markets.with_columns(context.get_columns()).select(MARKETS.names())


def with_probabilities(markets: pl.DataFrame) -> pl.DataFrame:
    """Add the market's implied probabilities.

    `p_bid` and `p_ask`: the prices to sell and buy YES (worst-case exit and entry); `p_mid`: their mean; `spread_u` in
    micro-dollars and `spread_percent` as a share of the midpoint. If YES pays between l and h instead of 0 and 1, a
    price implies (price − l)/(h − l). Null where a side is absent; the probabilities are also null for markets that
    are not binary: the price of a scalar market is an expected payout.
    """
    bid, ask = pl.col("yes_bid_u"), pl.col("yes_ask_u")
    binary = pl.col("market_type") == "binary"
    low, width = payout_low_u(), payout_high_u() - payout_low_u()
    return markets.with_columns(
        p_bid=pl.when(binary).then(((bid - low) / width).round(6)),
        p_ask=pl.when(binary).then(((ask - low) / width).round(6)),
        p_mid=pl.when(binary).then(((bid + ask - 2 * low) / (2 * width)).round(7)),
        spread_u=ask - bid,
        spread_percent=200 * (ask - bid) / (ask + bid),
    )


def payout_low_u() -> pl.Expr:
    """Return the least that YES pays; 0 where it was not recorded."""
    return pl.col("payout_low_u").fill_null(0)


def payout_high_u() -> pl.Expr:
    """Return the most that YES pays; the notional where it was not recorded."""
    return pl.col("payout_high_u").fill_null(NOTIONAL_U)


_SPARE = 6
"""Extra decimals that are read, so that a finer number is refused instead of rounded."""


def _parse_decimal(name: str, decimals: int, most: int = 10**11) -> pl.Expr:
    """Parse decimal strings to integers in units of 10^-decimals; null unless exact and between 0 and `most`."""
    text = pl.col(name)
    fine = text.cast(pl.Decimal(38, decimals + _SPARE), strict=False).to_physical().cast(pl.Int64, strict=False)
    exact = fine.is_between(0, most * 10**_SPARE) & (fine % 10**_SPARE == 0) & (text.str.len_bytes() <= 18)
    return pl.when(exact).then(fine // 10**_SPARE)


def dollar_units(name: str) -> pl.Expr:
    """Parse decimal strings to micro-dollars; null unless a price from zero to the notional."""
    return _parse_decimal(name, 6, NOTIONAL_U)


def count_units(name: str) -> pl.Expr:
    """Parse decimal strings to hundredths of a contract; null unless a count."""
    return _parse_decimal(name, 2)


def _time(name: str) -> pl.Expr:
    return pl.col(name).str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%#z", time_unit="us", time_zone="UTC", strict=False)


def _moment(name: str) -> pl.Expr:
    """Parse times like `_time`, several times as fast for times that all differ.

    The seconds have a fixed format and the fraction is added. Only valid for times that are not `_unusual`.
    """
    text = pl.col(name)
    seconds = text.str.slice(0, 19).str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="us", strict=False, cache=False)
    fraction = text.str.slice(19).str.strip_suffix("Z").cast(pl.Decimal(18, 6), strict=False)
    micros = fraction.to_physical().cast(pl.Int64).fill_null(0)
    return (seconds + micros.cast(pl.Duration("us"))).dt.replace_time_zone("UTC")


def _unusual(name: str) -> pl.Expr:
    """Return whether a time is not in the exchange's usual form: UTC by a Z, with at most six decimals."""
    text = pl.col(name)
    fraction = text.str.slice(19, 1)
    return ~(text.str.ends_with("Z") & (text.str.len_bytes() <= 27) & fraction.is_in(["Z", "."]))


def _notional(texts: pl.Series) -> pl.Expr:
    """Parse the notional, usually 1.0000. An absent one is assumed to be usual; an unreadable one becomes −1."""
    if (texts == "1.0000").all(ignore_nulls=True):
        return pl.lit(NOTIONAL_U, dtype=pl.Int64)
    name = texts.name
    return pl.when(pl.col(name).is_null()).then(NOTIONAL_U).otherwise(_parse_decimal(name, 6).fill_null(-1))


def _bad_field() -> pl.Expr:
    """Return the name of the first required field that could not be read; null for a good row."""
    parsed = dict(
        zip(_REQUIRED, ("yes_bid_u", "yes_ask_u", "yes_bid_size_cc", "yes_ask_size_cc", "close_ts"), strict=True)
    )
    checks = [pl.when(pl.col(column).is_null()).then(pl.lit(name)) for name, column in parsed.items()]
    other = pl.when(pl.col("notional_u") != NOTIONAL_U).then(pl.lit("notional_value_dollars"))
    return pl.coalesce(*checks, other)


def _bad_value(bad: pl.Expr) -> pl.Expr:
    return pl.coalesce(
        *[pl.when(bad == name).then(pl.col(name)) for name in (*_REQUIRED, "notional_value_dollars")]
    ).alias("value")


def _columns() -> list[pl.Expr]:
    """Return the columns of MARKETS from the parsed wire columns."""

    def side(price: str, size: str) -> pl.Expr:
        offered = (pl.col(size) > 0) & pl.col(price).is_between(0, NOTIONAL_U, closed="none")
        return pl.when(offered).then(pl.col(price)).alias(price)

    computed = {
        "yes_bid_u": side("yes_bid_u", "yes_bid_size_cc"),
        "yes_ask_u": side("yes_ask_u", "yes_ask_size_cc"),
        "last_price_u": dollar_units("last_price_dollars"),
        "volume_cc": count_units("volume_fp"),
        "volume_24h_cc": count_units("volume_24h_fp"),
        "open_interest_cc": count_units("open_interest_fp"),
        # Sports markets close days after the game: readers want to know when the outcome is decided.
        "decided_ts": pl.coalesce(_time("occurrence_datetime"), _time("expected_expiration_time")),
        "rules_day": pl.col("rules_day")
        .str.extract(r"([A-Z][a-z]+ \d{1,2}, \d{4})")
        .str.to_date("%B %d, %Y", strict=False),
        "rules_deadline": _deadline_day(pl.col("rules_deadline")),
        "market_type": pl.when(_bounds_known()).then("market_type").otherwise(pl.lit("unknown payout bounds")),
        "payout_low_u": dollar_units("settlement_floor_dollars").fill_null(0),
        "payout_high_u": pl.lit(NOTIONAL_U, dtype=pl.Int64),
        "fee_waiver_ts": _time("fee_waiver_expiration_time"),
        # A hundred thousand markets have a handful of different values.
        "price_ranges": pl.col("price_ranges").replace("", None).cast(pl.Categorical),
    }
    parsed = {"close_ts", "created_ts", "open_ts", "yes_bid_size_cc", "yes_ask_size_cc", *Facts._fields, *_WIRE}
    return [
        computed[name].alias(name)
        if name in computed
        else pl.col(name)
        if name in parsed
        else pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in MARKETS.items()
    ]


def _bounds_known() -> pl.Expr:
    """Return whether the payout bounds are known: none, or a floor that can be read."""
    kind = pl.col("settlement_bounds_type").fill_null("default")
    return (kind == "default") | ((kind == "floor") & dollar_units("settlement_floor_dollars").is_not_null())


def _deadline_day(text: pl.Expr) -> pl.Expr:
    """Parse the date of a deadline; a month or a year alone counts from its first day."""
    date = text.str.replace_all(r"[.,]", "").str.replace_all(r"\s+", " ")
    whole = pl.when(date.str.contains(r"^[A-Za-z]+ \d{1,2} \d{4}$")).then(date)
    month = pl.when(date.str.contains(r"^[A-Za-z]+ \d{4}$")).then(date.str.replace(" ", " 1 "))
    year = pl.when(date.str.contains(r"^\d{4}$")).then(pl.concat_str(pl.lit("January 1 "), date))
    return pl.coalesce(whole, month, year).str.to_date("%B %d %Y", strict=False)


def multiplier_units(value: float) -> int:
    """Convert a fee multiplier to units of 1/10,000, rounded up: rounding can only overstate the fee."""
    return -int(-round(value * FEE_UNIT, 6) // 1)


def _multiplier(value: float | None) -> int | None:
    return None if value is None else multiplier_units(value)


def _events_frame(events: Sequence[Event]) -> pl.DataFrame:
    rows = [
        (
            e.event_ticker,
            e.series_ticker,
            e.title or None,
            e.category or None,
            e.mutually_exclusive,
            e.fee_type_override,
            _multiplier(e.fee_multiplier_override),
            True,
            *(
                (None, None, None)
                if e.milestone is None
                else (e.milestone.start_date, e.milestone.home, e.milestone.away)
            ),
        )
        for e in events
    ]
    schema = {
        "event_ticker": pl.String,
        "series_ticker": pl.String,
        "event_title": pl.String,
        "event_category": pl.String,
        "mutually_exclusive": pl.Boolean,
        "event_fee_type": pl.String,
        "event_multiplier_m": pl.Int64,
        "known_event": pl.Boolean,
        "start_date": pl.String,
        "home_target": pl.String,
        "away_target": pl.String,
    }
    frame = pl.DataFrame(rows, schema=schema, orient="row").unique("event_ticker", keep="last")
    return frame.with_columns(milestone_ts=_time("start_date"))


def _series_frame(series: Sequence[Series]) -> pl.DataFrame:
    rows = [
        (s.ticker, s.category or None, s.fee_type, _multiplier(s.fee_multiplier), settlement_station(s), True)
        for s in series
    ]
    schema = {
        "series_ticker": pl.String,
        "category": pl.String,
        "fee_type": pl.String,
        "fee_multiplier_m": pl.Int64,
        "settlement_station": pl.String,
        "known_series": pl.Boolean,
    }
    return pl.DataFrame(rows, schema=schema, orient="row").unique("series_ticker", keep="last")
