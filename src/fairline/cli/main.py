"""The command line: parse, call one library function, render. Exit codes: 0 done, 1 failed, 2 usage, 3 incomplete."""

import os
import sys
from typing import Annotated

import typer

import fairline
from fairline.cli import account, looking, pricing, rules, scanning, simulation, watching
from fairline.cli.terminal import note
from fairline.errors import ConfigError, FairlineError, InputError, UsageError
from fairline.kalshi import KalshiError
from fairline.sim import SimError

_INTERRUPTED = 130

app = typer.Typer(
    name="fairline",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Price every market on Kalshi against your own probabilities: which are mispriced, by how much after fees.",
    epilog="Start with: fairline demo",
)


for group in (scanning, pricing, rules, account, simulation, watching, looking):
    app.add_typer(group.commands)


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        print(fairline.__version__)
        raise typer.Exit


_FLAGS = {
    "min_edge_points": "--min-edge",
    "max_spread_percent": "--max-spread",
    "suspect_points": "--suspect",
    "kelly_fraction": "--kelly",
    "tickers": "--ticker",
}
"""Fields whose flag is not the field's own name."""


def flag_of(field: str) -> str:
    """Return the flag that sets a field of the library; empty if `field` is."""
    return _FLAGS.get(field, "--" + field.replace("_", "-")) if field else ""


def main() -> None:
    """Run the command line; every foreseen failure is one line on standard error."""
    try:
        # Without its standalone mode the library hands back the code of an Exit instead of ending with it.
        code = app(standalone_mode=False) or 0
        if code == _INTERRUPTED:
            note("fairline: stopped")
        sys.exit(code)
    except typer.TyperException as error:
        text = getattr(error, "format_message", error.__str__)()
        if text.startswith("Usage:"):
            # A command without its subcommand: the library raises its help.
            print(text)
            sys.exit(2)
        _fail(text, 2)
    except FairlineError as error:
        name = flag_of(error.field) if isinstance(error, UsageError | InputError) else error.field
        _fail(error.describe(name), 2 if isinstance(error, UsageError | ConfigError) else 1)
    except (KalshiError, SimError) as error:
        _fail(str(error), 1)
    except (KeyboardInterrupt, typer.Abort):
        _fail("stopped", _INTERRUPTED)
    except BrokenPipeError:
        # The reader has seen enough. Standard output must not be flushed again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _fail(f"cannot write the output ({error.strerror})", 1)


def _fail(message: str, code: int) -> None:
    print(f"fairline: {message}", file=sys.stderr)
    sys.exit(code)
