"""The table of commands. A command is named by its import path and loaded when it runs."""

from datetime import timedelta
from typing import Any, NamedTuple

from cyclopts import App, Group, Parameter, Token, convert

from fairline.api.options import flag
from fairline.cli.defaults import fill_from_file
from fairline.cli.help import HelpFormatter
from fairline.errors import UsageError
from fairline.text import parse_duration
from fairline.version import __version__

_GROUPS = {
    name: Group(name, sort_key=order)
    for order, name in enumerate(
        ("Find mispriced markets", "Watch over time", "Look back", "Account", "Simulation", "Setup")
    )
}


class Command(NamedTuple):
    """A command: where its function is, what it does, and an example."""

    path: str
    help: str
    example: str


COMMANDS: dict[str, dict[str, Command]] = {
    "Find mispriced markets": {
        "scan": Command(
            "scanning:scan",
            "Price every market with your models and rank what is mispriced after fees.",
            "fairline scan --probabilities mine.csv --category sports --decided-within 7d",
        ),
        "markets": Command(
            "scanning:markets",
            "List every market with the probabilities its prices imply. No model needed.",
            "fairline markets --category crypto --format csv --output crypto.csv",
        ),
        "explain": Command(
            "scanning:explain",
            "Show how one market fares in each step of a scan, with its numbers.",
            "fairline explain KXHIGHNY-26NOV23-B54.5 --probabilities mine.csv",
        ),
        "coherence": Command(
            "scanning:coherence",
            "List quotes that contradict each other, priced with fees on every leg.",
            "fairline coherence --category crypto --json",
        ),
        "fees": Command(
            "fees:fees",
            "Show the fee of an order, with the calculation. Offline with --type and --multiplier.",
            "fairline fees --type quadratic --multiplier 1 --size 100 --price 0.10 --json",
        ),
        "models": Command(
            "models:models",
            "List the installed models: name, version, origin, description and inputs.",
            "fairline models --json",
        ),
    },
    "Watch over time": {
        "watch": Command(
            "watching:watch",
            "Scan on a schedule, store each scan, and send alerts about changes until stopped.",
            "fairline watch --probabilities mine.csv --category sports --every 60s",
        ),
        "live": Command(
            "live:live",
            "Show the best opportunities as the exchange's feed changes them, on the whole terminal.",
            "fairline live --probabilities mine.csv --category sports",
        ),
        "feed": Command(
            "feed:feed",
            "Record the exchange's feed, or rebuild a recording and judge it.",
            "fairline feed --record frames.jsonl --seconds 60 KXHIGHNY-26NOV23-B54.5",
        ),
        "follow": Command(
            "alerts:follow",
            "Keep a list of markets for the alert rules with `followed = true`.",
            "fairline follow KXHIGHNY-26NOV23-B54.5",
        ),
        "alerts list": Command(
            "alerts:list_alerts",
            "Show the rules and receivers of fairline.toml, the messages waiting for delivery, and the alarms.",
            "fairline alerts list --json",
        ),
        "alerts test": Command(
            "alerts:try_receivers",
            "Send a message to each receiver now and report whether it was accepted.",
            "fairline alerts test phone",
        ),
        "service install": Command(
            "service:install",
            "Write a systemd unit that runs the watch from this folder, or a Containerfile.",
            "fairline service install --dry-run -- --model elo --every 60s",
        ),
    },
    "Look back": {
        "now": Command(
            "history:now",
            "List the opportunities that the last scan of the watch left open, from the store.",
            "fairline now --sort edge_points --top 10",
        ),
        "history": Command(
            "history:history",
            "Show a market's prices, the models' probabilities, and when it was an opportunity.",
            "fairline history KXHIGHNY-26NOV23-B54.5 --since 7d --output history.png",
        ),
        "report": Command(
            "history:report",
            "Write one self-contained page: what is on offer, what appeared and went, results, funnel, health, charts.",
            "fairline report --since 24h --output yesterday.html",
        ),
        "scorecard": Command(
            "history:scorecard",
            "Compare promised with realised EV, and each model with the market's price.",
            "fairline scorecard --since 30d",
        ),
        "backtest": Command(
            "backtesting:backtest",
            "Test what models would have earned over a recorded past. `backtest runs` lists the tests so far.",
            "fairline backtest elo mine.csv --since 60d --every 1h --prove --output run.html",
        ),
        "sql": Command(
            "history:sql",
            "Query the store in SQL (needs the extra `sql`). Columns: docs/running.md.",
            'fairline sql "SELECT outcome, count(*) FROM scans GROUP BY outcome"',
        ),
        "ingest exchange": Command(
            "ingesting:exchange",
            "Read settled and live markets of a series with candles and trades, from the archive too.",
            "fairline ingest exchange --series KXHIGHNY --since 90d --every 1h --plan",
        ),
        "ingest daily": Command(
            "ingesting:daily",
            "Read the exchange's public daily files: statistics of each market, and all trades.",
            "fairline ingest daily --since 2026-06-01",
        ),
        "ingest table": Command(
            "ingesting:table",
            "Read anyone's table of quotes, facts, results, forecasts or trades.",
            "fairline ingest table quotes.csv --map map.toml",
        ),
        "store check": Command(
            "stores:check",
            "Compare every file of the store with its hash and name what is damaged or missing.",
            "fairline store check --json",
        ),
        "store migrate": Command(
            "stores:migrate",
            "Rewrite a store of an earlier version in today's.",
            "fairline store migrate --store path/to/store",
        ),
        "store size": Command(
            "stores:size",
            "Show how much disk each dataset takes, in all and per day.",
            "fairline store size --days 30",
        ),
        "calibrate": Command(
            "fitting:calibrate",
            "Fit how often markets at each price came true, and report whether that beats the price.",
            "fairline calibrate && fairline scan --model calibrated",
        ),
        "blend": Command(
            "fitting:blend",
            "Fit how much weight and belief each model earns beside the market, from settled markets.",
            "fairline blend && fairline scan --model blend",
        ),
    },
    "Account": {
        "balance": Command(
            "account:balance",
            "Show the account's balance, which proves that signing works.",
            "fairline balance --key-id ID --key-file key.pem",
        ),
        "portfolio": Command(
            "portfolio:portfolio",
            "Show what the account holds, what it earned, and whether it beat the closing line. Read-only.",
            "fairline portfolio --by category",
        ),
        "doctor": Command(
            "account:doctor",
            "Find out why authentication fails: cause, evidence and remedy. Read-only.",
            "fairline doctor --key-id ID --key-file key.pem",
        ),
        "key import": Command(
            "keys:import_key",
            "Store a private key in the keyring; then use it with --key-file keyring:NAME.",
            "fairline key import --key-id ID --key-file key.pem",
        ),
        "key list": Command(
            "keys:list_keys", "List the imported keys without showing any secret.", "fairline key list --json"
        ),
        "key remove": Command("keys:remove_key", "Delete a key from the keyring.", "fairline key remove NAME"),
    },
    "Simulation": {
        "demo": Command(
            "simulation:demo",
            "Scan a simulated exchange, settle it, and compare promised with realised EV. No key, no network.",
            "fairline demo --markets 15000 --output opportunities.csv",
        ),
        "sim": Command(
            "simulation:sim",
            "Run a simulated exchange on this machine.",
            "fairline sim --markets 15000 --port 8080 --fault 429:0.05",
        ),
    },
    "Setup": {
        "completion": Command(
            "completion:completion",
            "Print a script that completes commands and options in your shell.",
            "fairline completion bash > ~/.local/share/bash-completion/completions/fairline",
        ),
    },
}
_SUBCOMMANDS = {
    "alerts": "Show alert rules and test receivers.",
    "service": "Run the watch as a system service.",
    "ingest": "Bring the past into a store folder of its own.",
    "store": "Check, migrate and measure what a watch has stored.",
    "key": "Manage keys in the operating system's keyring.",
}


def build_app() -> App:
    """Return the command line with every command registered and none of them imported."""
    app = App(
        name="fairline",
        help="Price every market on Kalshi against your own probabilities and find what is mispriced after fees.",
        help_epilogue="Start with: fairline demo",
        help_format="plaintext",
        help_formatter=HelpFormatter(),
        version=__version__,
        suppress_keyboard_interrupt=False,
        config=fill_from_file,
        default_parameter=Parameter(
            name_transform=lambda name: flag(name).removeprefix("--"),
            allow_repeating=True,
            negative_iterable=(),
            converter=_convert,
        ),
    )
    app["--help"].group = app["--version"].group = _GROUPS["Setup"]
    for group, commands in COMMANDS.items():
        for name, command in commands.items():
            parent, _, child = name.rpartition(" ")
            target = _subcommand(app, parent, _GROUPS[group]) if parent else app
            target.command(
                f"fairline.cli.{command.path}",
                name=child,
                help=command.help,
                help_epilogue=f"Example: {command.example}",
                group=None if parent else _GROUPS[group],
            )
    return app


def _subcommand(app: App, name: str, group: Group) -> App:
    if name not in app:
        app.command(App(name=name, help=_SUBCOMMANDS[name], help_epilogue="", group=group))
    return app[name]


def _convert(kind: Any, tokens: tuple[Token, ...]) -> Any:
    """Convert what was typed, with our own syntax for durations and lists of numbers."""
    if kind == tuple[float, ...]:
        return tuple(float(part) for token in tokens for part in token.value.split(","))
    if kind is not timedelta:
        return convert(kind, tokens)
    try:
        return parse_duration(tokens[0].value)
    except UsageError as error:
        raise ValueError(error.detail) from error
