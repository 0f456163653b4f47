"""Frames become something to read: a terminal table, JSON, CSV or Parquet. Micro-dollars become dollars here only."""

import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import polars as pl
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fairline.frame import NOTIONAL_U
from fairline.kalshi.account import Account
from fairline.listing import Listing, Planned, Problem
from fairline.scan import Evaluation

_SHOWN = 8
"""How many problems and quarantined rows a terminal shows; the JSON has all of them."""


def opportunity_table(edges: pl.DataFrame, exchange: str, advice: pl.DataFrame | None = None) -> pl.DataFrame:
    """EDGES rows in a reader's units: dollars, contracts, percent; with what is known beside them as advice."""
    known = (
        []
        if advice is None
        else [made.alias(name) for name, made in _ADVICE.items() if _source(made) in advice.columns]
    )
    if advice is not None and known:
        edges = edges.join(advice, on=["ticker", "side", "model"], how="left", maintain_order="left")
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
        kelly=pl.col("kelly").round(6),
        spread_percent=pl.col("spread_percent").round(4),
        size=pl.col("size_c") / 100,
        closes_at="close_ts",
        url=_url(exchange),
    ).hstack(edges.select(known))


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
        yes_bid_size=pl.col("yes_bid_size_c") / 100,
        yes_ask_size=pl.col("yes_ask_size_c") / 100,
        last_price=_dollars("last_price_u"),
        volume=pl.col("volume_c") / 100,
        open_interest=pl.col("open_interest_c") / 100,
        closes_at="close_ts",
    )


def scan_document(listing: Listing, evaluation: Evaluation, top: int | None = None) -> dict[str, Any]:
    """The JSON of a scan."""
    kept = opportunity_table(evaluation.opportunities, listing.exchange, evaluation.advice)
    misses = evaluation.nearest_misses
    missed = opportunity_table(misses, listing.exchange).with_columns(missed_by=misses["missed_by"])
    return {
        "scan": _account(listing),
        "funnel": full_funnel(listing, evaluation),
        "opportunities": _records(kept.head(top) if top else kept),
        "nearest_misses": _records(missed),
        "problems": [problem_object(p) for p in (*listing.problems, *evaluation.problems)],
    }


def markets_document(listing: Listing, top: int | None = None) -> dict[str, Any]:
    """The JSON of a listing without models."""
    table = market_table(listing.markets)
    return {
        "scan": _account(listing),
        "markets": _records(table.head(top) if top else table),
        "problems": [problem_object(p) for p in listing.problems],
    }


def full_funnel(listing: Listing, evaluation: Evaluation) -> list[dict[str, object]]:
    """From everything that the exchange listed to what is left: unreadable rows, filters, then the thresholds."""
    first: dict[str, object] = {"step": "listed and readable", "kept": listing.listed, "dropped": listing.unreadable}
    return [first, *listing.funnel, *evaluation.funnel]


def encode(table: pl.DataFrame, form: str) -> bytes:
    """A table as CSV (times in ISO 8601) or Parquet."""
    buffer = io.BytesIO()
    if form == "csv":
        table.write_csv(buffer, datetime_format="%Y-%m-%dT%H:%M:%SZ")
    else:
        table.write_parquet(buffer)
    return buffer.getvalue()


def encode_json(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def scan_report(listing: Listing, evaluation: Evaluation, top: int = 20) -> RenderableType:
    """What a person at a terminal sees of a scan."""
    kept = evaluation.opportunities
    parts: list[RenderableType] = [_summary(listing)]
    if kept.is_empty():
        parts.append(Text("No market passed every step; the funnel shows where they went.", style="yellow"))
    else:
        parts.append(_opportunities(opportunity_table(kept.head(top), listing.exchange, evaluation.advice)))
        if kept.height > top:
            parts.append(Text(f"… and {kept.height - top:,} more; --top shows more, --output FILE writes all."))
    parts.append(_funnel(full_funnel(listing, evaluation)))
    if not evaluation.nearest_misses.is_empty():
        parts.append(_misses(evaluation.nearest_misses))
    parts += _troubles(listing, (*listing.problems, *evaluation.problems))
    return Group(*parts)


def markets_report(listing: Listing, top: int = 40) -> RenderableType:
    """What a person at a terminal sees of a listing."""
    table = Table(box=None, pad_edge=False)
    for name in ("Ticker", "Category", "Outcome"):
        table.add_column(name, overflow="ellipsis", no_wrap=True, max_width=36)
    for name in ("Bid", "Mid", "Ask", "Spread %", "Volume", "Closes"):
        table.add_column(name, justify="right", no_wrap=True)
    rows = market_table(listing.markets.sort("volume_24h_c", descending=True, nulls_last=True).head(top))
    for row in rows.iter_rows(named=True):
        table.add_row(
            row["ticker"],
            row["category"] or "–",
            row["title"] or "–",
            _share(row["p_bid"]),
            _share(row["p_mid"]),
            _share(row["p_ask"]),
            "–" if row["spread_percent"] is None else f"{row['spread_percent']:.1f}",
            "–" if row["volume"] is None else f"{row['volume']:,.0f}",
            _when(row["closes_at"]),
        )
    shown = f"{min(top, listing.markets.height):,} of {listing.markets.height:,} markets, most traded today first"
    return Group(_summary(listing), table, Text(shown), *_troubles(listing, listing.problems))


def plan_report(steps: Sequence[Planned]) -> RenderableType:
    """What would be asked, for a terminal."""
    table = Table(box=None, pad_edge=False)
    table.add_column("Requests", justify="right")
    table.add_column("Path")
    table.add_column("Why")
    for step in steps:
        table.add_row("?" if step.requests is None else f"{step.requests:,}", step.path, step.why)
    return table


def coherence_document(listing: Listing, found: pl.DataFrame) -> dict[str, Any]:
    """The JSON of broken rules, money in dollars."""
    table = found.with_columns(
        size=pl.col("size_c") / 100,
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
    return {"scan": _account(listing), "violations": table.select(names).to_dicts()}


def coherence_report(listing: Listing, found: pl.DataFrame, shown: pl.DataFrame) -> RenderableType:
    """Broken rules for a terminal."""
    profitable = found.filter(pl.col("profit_u") > 0).height
    words = f"{found.height:,} quotes break a rule; {profitable:,} of them after fees."
    table = Table(box=None, pad_edge=False)
    for name in ("Profit $", "Cost $", "Size", "Certainty", "Rule", "Legs"):
        table.add_column(name, justify="right" if name in ("Profit $", "Cost $", "Size") else "left", no_wrap=True)
    for row in shown.iter_rows(named=True):
        legs = ", ".join(f"{leg['side'].upper()} {leg['ticker']}" for leg in row["legs"][:3])
        more = f" and {len(row['legs']) - 3} more" if len(row["legs"]) > 3 else ""
        size, cost = row["size_c"] / 100, (row["cost_u"] + row["fee_u"]) / NOTIONAL_U
        needs = f" (needs: {row['needs']})" if row["needs"] else ""
        numbers = [f"{number:,.2f}" for number in (row["profit_u"] / NOTIONAL_U, cost, size)]
        table.add_row(*numbers, row["certainty"] + needs, row["kind"], legs + more)
    return Group(_summary(listing), Text(words), table, *_troubles(listing, listing.problems))


def trouble_lines(listing: Listing, problems: Sequence[Problem]) -> list[str]:
    """A line for each thing that did not work, for where the format itself has no place for them."""
    lines = [f"{problem.where}: {problem.message}" for problem in problems]
    lines += [f"quarantined {row}" for row in listing.quarantined]
    more = [f"… and {len(lines) - _SHOWN:,} more; --format json has them all"] if len(lines) > _SHOWN else []
    return lines[:_SHOWN] + more


def _account(listing: Listing) -> dict[str, Any]:
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
        "crawl": _crawl(listing.account),
        "books": {"read": listing.books, "moved": listing.moved},
        "quarantined": [
            {"ticker": row.ticker, "field": row.field, "value": row.value, "reason": row.reason}
            for row in listing.quarantined
        ],
    }


def _crawl(account: Account) -> dict[str, Any]:
    """How whole the listing is, and what that rests on."""
    return {
        "asof": _iso(datetime.fromtimestamp(account.asof_s, UTC)),
        "pages": account.pages,
        "windows": len(account.walks),
        "duplicates": account.duplicates,
        "conflicts": account.conflicts,
        "late": account.late,
        "rechecked": account.rechecked,
        "resumed_pages": account.resumed_pages,
        "notes": account.notes,
        "missing": [
            {
                "what": walk.words,
                "low_ts": walk.unread.low,
                "high_ts": walk.unread.high,
                "reason": walk.failure,
            }
            for walk in account.missing
        ],
    }


def _records(table: pl.DataFrame) -> list[dict[str, Any]]:
    return [
        {name: _iso(value) if isinstance(value, datetime) else value for name, value in row.items()}
        for row in table.iter_rows(named=True)
    ]


def problem_object(problem: Problem) -> dict[str, str]:
    return {"where": problem.where, "message": problem.message} | (
        {"traceback": problem.traceback} if problem.traceback else {}
    )


def _iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _dollars(name: str) -> pl.Expr:
    # Rounded to the micro-dollar, since columns are divided by multiplying with a reciprocal.
    return (pl.col(name) / NOTIONAL_U).round(6)


_ADVICE = {
    "fill_size": pl.col("fill_c") / 100,
    "fill_price": _dollars("average_u"),
    "fill_worst_price": _dollars("worst_u"),
    "fill_fee": _dollars("fill_fee_u"),
    "fill_ev_per_contract": _dollars("fill_ev_u"),
    "best_size": pl.col("best_c") / 100,
    "best_ev": _dollars("best_ev_u"),
    "breakeven_size": pl.col("breakeven_c") / 100,
    "contracts": pl.col("contracts"),
    "risk": _dollars("risk_u"),
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


def _summary(listing: Listing) -> Text:
    text = Text(
        f"{listing.listed:,} markets from {listing.exchange} in {listing.duration_s:.1f} s "
        f"({listing.requests} requests, {listing.retries} retries, {listing.bytes / 1e6:.1f} MB)"
    )
    if listing.books:
        text.append(f"\nOrder books of {listing.books} candidates read; {listing.moved} had moved since the listing.")
    for remark in listing.account.notes:
        text.append(f"\nNote: {remark}.")
    if not listing.complete:
        text.append(f"\nINCOMPLETE: {'; '.join(listing.incomplete_reasons)}", style="bold red")
    return text


def _opportunities(rows: pl.DataFrame) -> Table:
    table = Table(box=None, pad_edge=False, expand=True)  # the question gives way, not the numbers
    table.add_column("Ticker", no_wrap=True, overflow="ellipsis", max_width=34)
    for name in ("Side", "Price", "Model", "Edge pts", "EV $", "EV/$", "Spread %", "Size", "Closes"):
        table.add_column(name, justify="right", no_wrap=True)
    advised = [
        (words, form, name)
        for words, form, name in (
            ("Best size", "{:,.0f}", "best_size"),
            ("Buy", "{:,}", "contracts"),
            ("Risk $", "{:,.2f}", "risk"),
        )
        if name in rows.columns
    ]
    for words, _, _ in advised:
        table.add_column(words, justify="right", no_wrap=True)
    table.add_column("Question", no_wrap=True, overflow="ellipsis", ratio=1)
    for row in rows.iter_rows(named=True):
        table.add_row(
            row["ticker"],
            row["side"].upper(),
            f"{row['price']:.3f}",
            f"{row['p']:.3f}",
            f"{row['edge_points']:.1f}",
            f"{row['ev_per_contract']:.3f}",
            f"{row['ev_per_dollar']:.1%}",
            "–" if row["spread_percent"] is None else f"{row['spread_percent']:.1f}",
            f"{row['size']:,.0f}",
            _when(row["closes_at"]),
            *("–" if row[name] is None else form.format(row[name]) for _, form, name in advised),
            row["title"],
        )
    return table


def _funnel(steps: Sequence[dict[str, object]]) -> Table:
    table = Table(box=None, pad_edge=False, title="Funnel (markets)", title_justify="left")
    table.add_column("Step")
    table.add_column("Kept", justify="right")
    table.add_column("Dropped", justify="right")
    for step in steps:
        table.add_row(str(step["step"]), f"{step['kept']:,}", f"{step['dropped']:,}")
    return table


def _misses(misses: pl.DataFrame) -> Table:
    table = Table(box=None, pad_edge=False, title="Nearest misses", title_justify="left")
    table.add_column("Ticker", no_wrap=True)
    table.add_column("Side")
    table.add_column("Missed by")
    for ticker, side, by in misses.select("ticker", "side", "missed_by").iter_rows():
        table.add_row(ticker, side.upper(), by)
    return table


def _troubles(listing: Listing, problems: Sequence[Problem]) -> list[RenderableType]:
    lines = [f"{problem.where}: {problem.message}" for problem in problems]
    found: list[RenderableType] = []
    for words, items in (("problems", lines), ("rows quarantined", [str(row) for row in listing.quarantined])):
        if items:
            more = [f"… and {len(items) - _SHOWN:,} more (all of them in --format json)"] if len(items) > _SHOWN else []
            found.append(Text("\n  ".join([f"{len(items):,} {words}:", *items[:_SHOWN], *more]), style="yellow"))
    return found


def _share(p: float | None) -> str:
    return "–" if p is None else f"{p:.3f}"


def _when(moment: datetime | None) -> str:
    return "–" if moment is None else f"{moment:%Y-%m-%d %H:%M}"
