"""The public surface is what it says it is, and command line, library and reference page agree."""

import importlib
import inspect
import re
from pathlib import Path

import pytest

import fairline
from fairline.cli.app import build_app

REFERENCE = (Path(__file__).resolve().parents[1] / "docs" / "python.md").read_text()
FUNCTIONS = [name for name in fairline.__all__ if name[0].islower() and not name.startswith("_")]
COMMANDS = {
    "scan": "scan",
    "markets": "markets",
    "explain": "explain",
    "coherence": "coherence",
    "fee": "fees",
    "backtest": "backtest",
    "portfolio": "portfolio",
}
ONLY_IN_THE_COMMAND = {
    "--all", "--columns", "--format", "--json", "--local-time", "--model", "--output", "--plan", "--probabilities",
    "--template", "--top",
}  # fmt: skip
"""Options that only choose what is printed, and models, which the functions take as arguments."""


def options_of(command):
    """Return the long options of a command, without those that only negate another."""
    app = build_app()
    with app.app_stack([command]):
        arguments = app[command].assemble_argument_collection(parse_docstring=False)
    return {argument.name for argument in arguments if argument.name.startswith("--")}


@pytest.mark.parametrize("name", ["fairline", "fairline.kalshi", "fairline.models", "fairline.sim", "fairline.sources"])
def test_all_is_sorted_exported_and_small(name):
    module = importlib.import_module(name)
    assert module.__all__ == sorted(module.__all__, key=lambda n: (not n.isupper(), not n[0].isupper(), n))
    assert all(hasattr(module, exported) for exported in module.__all__)
    assert len(module.__all__) <= 30


def test_every_function_that_reads_has_an_asynchronous_version():
    plain = {name for name in FUNCTIONS if not name.endswith("_async")}
    assert {f"{name}_async" for name in plain} == set(FUNCTIONS) - plain
    for name in FUNCTIONS:
        function = getattr(fairline, name)
        assert inspect.iscoroutinefunction(function) == name.endswith("_async")
        assert function.__doc__


@pytest.mark.parametrize("function", COMMANDS)
def test_a_command_and_its_function_have_the_same_options(function):
    parameters = inspect.signature(getattr(fairline, function)).parameters.values()
    keywords = {f"--{p.name.replace('_', '-')}" for p in parameters if p.kind is p.KEYWORD_ONLY}
    views = {
        "coherence": {"--sort"},
        "fee": {"--fit", "--key-id", "--key-file"},
        "markets": {"--sort"},
        "portfolio": {"--by", "--fills", "--settled", "--sort"},
    }.get(function, set())
    assert options_of(COMMANDS[function]) - ONLY_IN_THE_COMMAND - views == keywords


@pytest.mark.parametrize("command", ["scan", "watch", "markets", "coherence"])
def test_commands_that_list_markets_share_every_filter(command):
    not_about_markets = {"--max-age", "--fresh", "--sort", *ONLY_IN_THE_COMMAND}
    assert options_of("markets") - not_about_markets <= options_of(command)


@pytest.mark.parametrize("command", ["scan", "watch", "explain"])
def test_commands_that_price_share_every_rule(command):
    rules = {"--min-edge", "--min-ev", "--max-spread", "--side", "--size", "--min-contracts", "--rest", "--suspect"}
    assert rules <= options_of(command)
    assert command == "explain" or {"--bankroll", "--kelly", "--caps"} <= options_of(command)


def test_the_reference_page_names_every_export_and_option():
    for name in fairline.__all__:
        assert name == "__version__" or f"`{name}`" in REFERENCE or f"fairline.{name}" in REFERENCE, name
    for function in COMMANDS:
        for name in inspect.signature(getattr(fairline, function)).parameters:
            assert name in ("models", "ticker") or f"`{name}`" in REFERENCE, name


def test_the_reference_page_names_nothing_that_does_not_exist():
    known = {name for function in COMMANDS for name in inspect.signature(getattr(fairline, function)).parameters}
    table = REFERENCE.split("## Options")[1].split("## ")[0]
    for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE):
        assert set(re.findall(r"`(\w+)`", row)) <= known
