"""Run one command and turn every expected error into one line on standard error.

Exit codes: 0 done, 1 failed, 2 usage, 3 incomplete, 130 interrupted.
"""

import os
import sys
from collections.abc import Sequence
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from cyclopts import App, CoercionError, CycloptsError, UnknownCommandError

from fairline.cli.app import build_app
from fairline.errors import ConfigError, FairlineError, UsageError
from fairline.kalshi.redaction import redact, show_value
from fairline.text import sanitize

FAILED, USAGE, INTERRUPTED = 1, 2, 130
_EXPECTED = {
    int: "a whole number",
    float: "a number",
    timedelta: "a duration such as 90m, 12h, 7d or 4w",
    bool: "yes or no",
    Path: "a path",
}


def run(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code."""
    app, arguments = build_app(), _join_dashes(arguments)
    _allow_any_encoding()
    try:
        return app(arguments, exit_on_error=False, print_error=False, result_action="return_value") or 0
    except CycloptsError as error:
        return _fail(_describe_parse_error(app, error), USAGE)
    except FairlineError as error:
        code = USAGE if isinstance(error, UsageError | ConfigError) else FAILED
        return _fail(_describe(app, arguments, error), code)
    except OSError as error:
        return _output_failed(error)
    except KeyboardInterrupt:
        return _fail("stopped", INTERRUPTED)
    except Exception as error:
        if not _is_expected(error):
            raise
        return _fail(str(error), FAILED)


def _allow_any_encoding() -> None:
    encodings = {(getattr(stream, "encoding", None) or "").lower() for stream in (sys.stdout, sys.stderr)}
    if encodings - {"utf-8", "utf8"}:
        from fairline.output.console import allow_any_encoding

        allow_any_encoding()


def _join_dashes(arguments: Sequence[str]) -> list[str]:
    """Write `--key-file -` as `--key-file=-`, because the parser takes a dash for an option."""
    joined: list[str] = []
    for argument in arguments:
        if argument == "-" and joined and joined[-1].startswith("--"):
            joined[-1] += "=-"
        else:
            joined.append(argument)
    return joined


def _output_failed(error: OSError) -> int:
    # Nothing must be flushed to standard output when the process exits.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        return 0  # the reader has closed the pipe
    return _fail(f"cannot write the output ({error.strerror})", FAILED)


def _is_expected(error: Exception) -> bool:
    """Return whether this is an error of the exchange or the simulator; their classes exist if one was raised."""
    kinds = [("fairline.kalshi.errors", "KalshiError"), ("fairline.sim.errors", "SimError")]
    known = [getattr(sys.modules[module], name) for module, name in kinds if module in sys.modules]
    return isinstance(error, tuple(known))


def _fail(message: str, code: int) -> int:
    print(f"fairline: {sanitize(redact(message))}", file=sys.stderr)
    return code


def _describe(app: App, arguments: Sequence[str], error: FairlineError) -> str:
    """Return the error's text with the option or argument that the user typed in place of the field's name."""
    field = getattr(error, "field", "")
    return error.describe(_option_names(app, arguments).get(field, "")) if field else str(error)


def _option_names(app: App, arguments: Sequence[str]) -> dict[str, str]:
    """Return how the command that ran calls each of its fields: `{"categories": "--category", "ticker": "TICKER"}`."""
    with app.app_stack(list(arguments)):
        _, apps, _ = app.parse_commands(arguments)
        collection = apps[-1].assemble_argument_collection(parse_docstring=False)
    shown = {argument.field_info.name: _shown_name(argument.name) for argument in collection}
    keywords = {argument.name.lstrip("-").replace("-", "_"): _shown_name(argument.name) for argument in collection}
    return keywords | shown


def _shown_name(name: str) -> str:
    return name if name.startswith("-") else name.upper()


def _describe_parse_error(app: App, error: CycloptsError) -> str:
    if isinstance(error, UnknownCommandError):
        typed = (error.unused_tokens or [""])[0]
        names = [name for name in (error.app or app).resolved_commands() if not name.startswith("-")]
        close = get_close_matches(typed, names, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else "See fairline --help"
        return f"there is no command {show_value(typed)}. {hint}"
    if isinstance(error, CoercionError) and error.argument is not None and error.token is not None:
        name = error.token.keyword or _shown_name(error.argument.name)
        return f"invalid {name}: {_expectation(error)}"
    text = str(error).rstrip(".")
    return text[:1].lower() + text[1:]


def _expectation(error: CoercionError) -> str:
    if error.msg is not None:
        return str(error.msg)
    value = error.token.value if error.token else ""
    kinds: list[Any] = [error.target_type, *get_args(error.target_type)]
    for kind in kinds:
        if get_origin(kind) is Literal:
            return f"expected one of {', '.join(map(str, get_args(kind)))}, not {show_value(value)}"
        if kind in _EXPECTED:
            return f"expected {_EXPECTED[kind]}, not {show_value(value)}"
    return f"{show_value(value)} is not valid"
