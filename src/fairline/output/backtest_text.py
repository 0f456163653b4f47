"""A backtest as text of at most 80 columns."""

from collections.abc import Mapping, Sequence
from typing import Any

from fairline.text import sanitize

Document = Mapping[str, Any]

NAME_WIDTH = 24
MAX_PROBLEMS = 5
_BASELINES = {
    "always_no": "always NO",
    "random_side": "a random side",
    "fair_market": "if the midpoint were right",
}


def backtest_text(document: Document) -> str:
    """Return a backtest's document (`BacktestReport.document`) as text."""
    lines = _proof_lines(document["proof"])
    if "run" in document:
        lines = [*_run_lines(document["run"]), *lines]
        for account in document["accounts"]:
            lines += ["", *_account_lines(account)]
        lines += ["", *_model_lines(document["models"]), "", *_funnel_lines(document["funnel"])]
        lines += ["", *_runs_lines(document["runs"]), *_problem_lines(document)]
    return "\n".join(lines)


def _proof_lines(proof: Document | None) -> list[str]:
    if proof is None:
        return ["Not tested for look-ahead; use --prove."]
    if proof["leak"]:
        return [
            f"LEAK: {sanitize(proof['leak'])}",
            "Nothing was traded: results of a model that sees the future mean nothing.",
        ]
    return [f"No look-ahead: {proof['instants']} instants give the same results without what came later."]


def _run_lines(run: Document) -> list[str]:
    period = f"{run['since'][:16].replace('T', ' ')} to {run['until'][:16].replace('T', ' ')} UTC"
    return [f"Backtest of {_name_models(run['models'])}", f"{period}, every {run['options']['every']}, run {run['id']}"]


def _account_lines(account: Document) -> list[str]:
    head = f"{account['book'].upper()} ({account['fills']})"
    everything = next((line for line in account["lines"] if line["name"] == "all"), None)
    if everything is None:
        return [head, "  no order was placed"]
    lines = [
        head,
        f"  {everything['orders']:,} orders, {everything['filled']:,} filled, {everything['settled']:,} settled in "
        f"{everything['events']:,} events",
        f"  fills: {account['quality']}",
        f"  maximum drawdown ${account['drawdown_dollars']:,.2f}, longest time under water "
        f"{account['days_under_water']:.1f} days",
    ]
    if everything["realised"] is None:
        return [*lines, "  nothing has settled yet"]
    columns = f"  {'$ per contract':<{NAME_WIDTH}}{'n':>6}{'promised':>10}{'realised':>10}  95 % by event"
    lines += [columns, *(_mean_line(line) for line in account["lines"] if line["realised"] is not None)]
    return [*lines, *_doubt_lines(everything)]


def _mean_line(line: Document) -> str:
    name = sanitize(line["name"])[:NAME_WIDTH]
    realised = line["realised"]
    promised = line["promised"]["mean"]
    return f"  {name:<{NAME_WIDTH}}{line['settled']:>6}{promised:>+10.4f}{realised['mean']:>+10.4f}  {_ends(realised)}"


def _doubt_lines(line: Document) -> list[str]:
    """Return the raw promise, the closing line and the baselines of an account's trades."""
    rows = [("raw promise of the models", line["raw_promised"]), ("closing-line value", line["closing_value"])]
    rows += [(_BASELINES[name], mean) for name, mean in line["baselines"].items()]
    lines = [
        f"  {name:<{NAME_WIDTH + 6}}{'':>10}{mean['mean']:>+10.4f}  {_ends(mean)}"
        for name, mean in rows
        if mean is not None
    ]
    if line["closing_value"] is None:
        lines.append("  no closing line: when play begins is unknown for these markets")
    if line["assumed_sizes"]:
        lines.append(f"  {line['assumed_sizes']:,} fills assume a size that was not recorded")
    return lines


def _ends(interval: Document) -> str:
    if interval["low"] is None or interval["high"] is None:
        return "one event only"
    return f"{interval['low']:+.4f} to {interval['high']:+.4f}"


def _model_lines(models: Sequence[Document]) -> list[str]:
    lines = [f"{'Brier score':<{NAME_WIDTH}}{'n':>8}{'model':>9}{'market':>9}  difference, 95 % by event"]
    for model in models:
        if model["brier"] is not None:
            difference = model["brier_difference"]
            lines.append(
                f"{sanitize(model['model'])[:NAME_WIDTH]:<{NAME_WIDTH}}{model['brier']['n']:>8,}"
                f"{model['brier']['mean']:>9.4f}{model['market_brier']['mean']:>9.4f}  {_ends(difference)}"
            )
    return lines if len(lines) > 1 else ["No priced market with both quotes has settled, so no model can be scored."]


def _funnel_lines(funnel: Sequence[Document]) -> list[str]:
    rows = [f"  {sanitize(step['step'])[:54]:<54}{step['kept']:>12,}{step['dropped']:>12,}" for step in funnel]
    return [f"{'Funnel over all instants':<56}{'kept':>12}{'dropped':>12}", *rows]


def _runs_lines(runs: Document) -> list[str]:
    if runs["p_corrected"] is None:
        return [f"{_plural(runs['count'], 'run')} over this store; too few settled events to compare them."]
    count = _plural(runs["count"], "run")
    return [
        f"Best of {count} over this store: {runs['best']}, compared with a random side.",
        f"p = {runs['p_alone']:.3f} on its own, p = {runs['p_corrected']:.3f} corrected for {count}.",
    ]


def _problem_lines(document: Document) -> list[str]:
    problems = sorted(document["problems"].items(), key=lambda item: -item[1])
    lines = [f"problem ({count:,} times): {sanitize(text)}" for text, count in problems[:MAX_PROBLEMS]]
    if len(problems) > MAX_PROBLEMS:
        lines.append(f"… and {len(problems) - MAX_PROBLEMS} more kinds of problems; see --output run.json")
    lines += [f"warning: {sanitize(text)}" for text in document["warnings"]]
    return ["", *lines] if lines else []


def runs_text(document: Document) -> str:
    """Return the list of runs (`api.backtest.list_runs_document`) as text."""
    if not document["runs"]:
        return "No backtest has been run over this store yet."
    lines = [f"{'Run':<13}{'When (UTC)':<17}{'Trades':>7}{'Profit $':>11}  Models"]
    for run in document["runs"]:
        models = _name_models(run["models"])[:30]
        when = run["created"][:16].replace("T", " ")
        lines.append(f"{run['id']:<13}{when:<17}{run['trades']:>7,}{run['profit_dollars']:>11,.2f}  {models}")
    if document["p_corrected"] is not None:
        lines += [
            "",
            f"Best run: {document['best']}, compared with a random side of the same trades.",
            f"p = {document['p_alone']:.3f} on its own, p = {document['p_corrected']:.3f} corrected for "
            f"{_plural(len(document['runs']), 'run')}.",
        ]
    return "\n".join(lines)


def plan_text(plan: Document) -> str:
    """Return what a backtest would take (`api.backtest.plan_document`) as text."""
    jobs = _plural(plan["jobs"], "process", "processes")
    wall_s = plan["hours_with_these_jobs"] * 3_600
    return "\n".join(
        [
            f"{plan['instants']:,} instants, {plan['rows']:,} rows (markets times instants), {plan['blocks']:,} blocks",
            f"{plan['cpu_seconds_per_million_rows']:.2f} s of CPU per million rows, measured on a few instants",
            f"about {plan['cpu_seconds']:,.0f} s of CPU; about {_span(wall_s)} with {jobs}",
            f"10⁹ rows would take about {plan['cpu_hours_for_a_billion_rows']:.1f} h of CPU at that rate",
        ]
    )


def _name_models(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{sanitize(name)} {sanitize(version)}" for name, version in versions.items())


def _plural(count: int, noun: str, plural: str = "") -> str:
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3_600:.1f} h"
