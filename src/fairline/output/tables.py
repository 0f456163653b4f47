"""Frames become something to keep or pipe: JSON, CSV or Parquet. Micro-dollars become dollars here only."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import polars as pl
import polars.selectors as cs

from fairline.kalshi.report import CrawlReport
from fairline.market.frame import NOTIONAL_U
from fairline.market.listing import Listing
from fairline.market.problem import Problem
from fairline.output.writers import Document, Rows, encode_document, encode_table
from fairline.scanner import UNPROVEN_BOOKS, Evaluation, full_funnel


def opportunity_table(edges: pl.DataFrame, exchange: str, advice: pl.DataFrame | None = None) -> pl.DataFrame:
    """EDGES rows in a reader's units: dollars, contracts, percent; with what is known beside them as advice."""
    known = (
        []
        if advice is None
        else [made.alias(name) for name, made in _ADVICE.items() if _source(made) in advice.columns]
    )
    if advice is not None and known:
        edges = edges.join(advice, on=["ticker", "side", "model"], how="left", maintain_order="left")
    resting = (
        {"ahead": pl.col("ahead_cc") / 100, "better_price": _dollars("better_u")} if "ahead_cc" in edges.columns else {}
    )
    return edges.select(
        "ticker",
        "event_ticker",
        "series_ticker",
        "category",
        title=_title(),
        side="side",
        p=pl.col("p").round(9),
        p_sd="p_sd",
        model="model",
        price=_dollars("price_u"),
        fee=_dollars("fee_u"),
        edge_points="edge_points",
        ev_per_contract=_dollars("ev_u"),
        ev_per_dollar=pl.col("ev_per_dollar").round(6),
        p_believed=pl.col("p_believed").round(9),
        belief=pl.col("belief_k").round(6),
        belief_events="belief_events",
        belief_source="belief_source",
        believed_ev_per_contract=_dollars("believed_ev_u"),
        believed_ev_per_dollar=pl.col("believed_ev_per_dollar").round(6),
        believed_ev=(pl.col("believed_ev_u") * pl.col("size_cc") / (100 * NOTIONAL_U)).round(6),
        yearly_return=pl.col("yearly_return").round(6),
        kelly=pl.col("kelly").round(6),
        spread_percent=pl.col("spread_percent").round(4),
        size=pl.col("size_cc") / 100,
        **resting,
        decided_at="decided_ts",
        closes_at="close_ts",
        in_play="in_play",
        url=_url(exchange),
        suspect="suspect",
    ).hstack(edges.select(known))


def unproven_table(listing: Listing, evaluation: Evaluation) -> pl.DataFrame:
    """The leading rows that pass the thresholds on the raw numbers, but that no record supports."""
    return opportunity_table(evaluation.unproven.head(UNPROVEN_BOOKS), listing.exchange, evaluation.advice)


def market_table(markets: pl.DataFrame) -> pl.DataFrame:
    """Markets with their implied probabilities in a reader's units."""
    return markets.select(
        "ticker",
        "event_ticker",
        "series_ticker",
        "category",
        title=_title(),
        status="status",
        yes_bid=_dollars("yes_bid_u"),
        yes_ask=_dollars("yes_ask_u"),
        p_bid="p_bid",
        p_mid="p_mid",
        p_ask="p_ask",
        spread_cents=pl.col("spread_u") / 10_000,
        spread_percent=pl.col("spread_percent").round(4),
        yes_bid_size=pl.col("yes_bid_size_cc") / 100,
        yes_ask_size=pl.col("yes_ask_size_cc") / 100,
        last_price=_dollars("last_price_u"),
        volume=pl.col("volume_cc") / 100,
        open_interest=pl.col("open_interest_cc") / 100,
        starts_at="milestone_ts",
        decided_at="decided_ts",
        closes_at="close_ts",
    )


def scan_document(listing: Listing, evaluation: Evaluation, top: int | None = None) -> dict[str, Any]:
    """The JSON of a scan."""
    believed = opportunity_table(evaluation.opportunities, listing.exchange, evaluation.advice)
    unproven = unproven_table(listing, evaluation)
    misses = evaluation.nearest_misses
    missed = opportunity_table(misses, listing.exchange).with_columns(missed_by=misses["missed_by"])
    return {
        "scan": _scan_report(listing),
        "funnel": [asdict(step) for step in full_funnel(listing, evaluation)],
        "opportunities": Rows(believed.head(top) if top else believed),
        "unproven": Rows(unproven),
        "nearest_misses": Rows(missed),
        "problems": [problem_object(p) for p in (*listing.problems, *evaluation.problems)],
    }


def markets_document(listing: Listing, top: int | None = None) -> dict[str, Any]:
    """The JSON of a listing without models."""
    return {
        "scan": _scan_report(listing),
        "markets": market_rows(listing.markets, top),
        "problems": [problem_object(p) for p in listing.problems],
    }


def template_rows(markets: pl.DataFrame, top: int | None = None) -> Rows:
    """Return at most `top` markets as a table to fill in: `ticker, p, p_sd, asof`, and what helps to fill it in."""
    empty = [pl.lit(None, dtype=pl.String).alias(name) for name in ("p", "p_sd", "asof")]

    def shape(rows: pl.DataFrame) -> pl.DataFrame:
        return rows.select(
            "ticker",
            *empty,
            title=_title(),
            p_bid="p_bid",
            p_ask="p_ask",
            decided_at="decided_ts",
            closes_at="close_ts",
        )

    return Rows(markets.head(top) if top else markets, shape)


def market_rows(markets: pl.DataFrame, top: int | None = None) -> Rows:
    """Return at most `top` markets as rows in display units."""
    return Rows(markets.head(top) if top else markets, market_table)


def encode(table: pl.DataFrame, form: str) -> bytes:
    """Encode a table as CSV (times in ISO 8601) or Parquet."""
    return b"".join(encode_table(Rows(table), form))


def encode_rows(rows: pl.DataFrame) -> bytes:
    """Any frame as a JSON array of objects; what is not a number becomes null."""
    records = rows.with_columns(cs.float().fill_nan(None)).to_dicts()
    return (json.dumps(records, indent=2, default=str, ensure_ascii=False) + "\n").encode()


def flatten(rows: pl.DataFrame) -> pl.DataFrame:
    """Lists and structs as text, for formats that have none."""
    nested = [name for name, dtype in rows.schema.items() if dtype.is_nested()]
    return rows.with_columns(pl.Series(name, [str(value) for value in rows[name]]) for name in nested)


def encode_json(document: Document) -> bytes:
    """Encode a document as JSON."""
    return b"".join(encode_document(document))


def violation_table(violations: pl.DataFrame) -> pl.DataFrame:
    """Violations in readers' units: dollars and contracts, one struct per leg."""
    table = violations.with_columns(
        size=pl.col("size_cc") / 100,
        **{name: _dollars(f"{name}_u") for name in ("cost", "fee", "payoff", "profit")},
        legs=pl.col("legs").list.eval(
            pl.struct(
                pl.element().struct.field("ticker", "side"),
                price=pl.element().struct.field("price_u") / NOTIONAL_U,
                fee=pl.element().struct.field("fee_u") / NOTIONAL_U,
            )
        ),
    )
    names = ["kind", "event_ticker", "certainty", "needs", "size", "cost", "fee", "payoff", "profit", "legs"]
    return table.select(names)


def coherence_document(listing: Listing, violations: pl.DataFrame) -> dict[str, Any]:
    """The JSON of violations."""
    problems = [problem_object(problem) for problem in listing.problems]
    rows = violation_table(violations).to_dicts()
    return {"scan": _scan_report(listing), "violations": rows, "problems": problems}


def _scan_report(listing: Listing) -> dict[str, Any]:
    return {
        "exchange": listing.exchange,
        "started_ts": _iso(listing.started_ts),
        "duration_s": round(listing.duration_s, 3),
        "markets": listing.listed,
        "requests": listing.requests,
        "retries": listing.retries,
        "bytes": listing.bytes,
        "complete": listing.complete,
        "incomplete_reason": "; ".join(listing.incomplete_reasons) or None,
        "crawl": _crawl(listing.report),
        "books": {"read": listing.books, "moved": listing.moved},
        "quarantined": [
            {"ticker": row.ticker, "field": row.field, "value": row.value, "reason": row.reason}
            for row in listing.quarantined
        ],
    }


def _crawl(report: CrawlReport) -> dict[str, Any]:
    """How whole the listing is, and what that rests on."""
    return {
        "asof": _iso(datetime.fromtimestamp(report.asof_s, UTC)),
        "pages": report.pages,
        "windows": len(report.walks),
        "duplicates": report.duplicates,
        "conflicts": report.conflicts,
        "late": report.late,
        "rechecked": report.rechecked,
        "resumed_pages": report.resumed_pages,
        "notes": report.notes,
        "missing": [
            {
                "what": walk.description,
                "low_ts": walk.unread.low,
                "high_ts": walk.unread.high,
                "reason": walk.failure,
            }
            for walk in report.missing
        ],
    }


def records(table: pl.DataFrame) -> list[dict[str, Any]]:
    """Rows as objects, times in ISO 8601."""
    return [
        {name: _iso(value) if isinstance(value, datetime) else value for name, value in row.items()}
        for row in table.iter_rows(named=True)
    ]


def problem_object(problem: Problem) -> dict[str, str]:
    """The fields of a problem that are set."""
    return {name: value for name, value in asdict(problem).items() if isinstance(value, str) and value}


def _iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _dollars(name: str) -> pl.Expr:
    # Rounded to the micro-dollar, since columns are divided by multiplying with a reciprocal.
    return (pl.col(name) / NOTIONAL_U).round(6)


_ADVICE = {
    "fill_size": pl.col("fill_cc") / 100,
    "fill_price": _dollars("average_u"),
    "fill_worst_price": _dollars("worst_u"),
    "fill_fee": _dollars("fill_fee_u"),
    "fill_ev_per_contract": _dollars("fill_ev_u"),
    "best_size": pl.col("best_cc") / 100,
    "best_ev": _dollars("best_ev_u"),
    "breakeven_size": pl.col("breakeven_cc") / 100,
    "contracts": pl.col("contracts"),
    "risk": _dollars("risk_u"),
    "held": pl.col("held_cc") / 100,
    "resting": pl.col("resting_cc") / 100,
}
"""What an order of the wanted size gets of the book, the size of the largest EV, and how much to risk."""


def _source(made: pl.Expr) -> str:
    return made.meta.root_names()[0]


def _title() -> pl.Expr:
    """The question with the outcome that YES stands for, unless it says so already."""
    title, outcome = pl.col("title").fill_null(""), pl.col("yes_sub_title").fill_null("")
    joined = pl.concat_str(title, pl.lit(" · "), outcome).str.strip_chars(" ·")
    return pl.when((outcome == "") | title.str.contains(outcome, literal=True)).then(title).otherwise(joined)


def _url(exchange: str) -> pl.Expr:
    if "kalshi" in exchange and "demo" not in exchange:
        return pl.concat_str(pl.lit("https://kalshi.com/markets/"), pl.col("series_ticker").str.to_lowercase())
    return pl.concat_str(pl.lit(f"{exchange}/markets/"), pl.col("ticker"))
