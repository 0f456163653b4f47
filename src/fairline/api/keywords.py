"""From keyword arguments to options: every option class is one source of names, types and defaults."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from fairline.api.options import keyword
from fairline.text import parse_duration

R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])


def build_request(kind: type[R], function: str, given: Mapping[str, Any]) -> R:
    """Build a request, whose fields are option classes, from keyword arguments.

    A single value stands for a tuple of one, text for a duration or a path. Raises `TypeError` for an unknown keyword
    and `UsageError` for an invalid value.
    """
    parts = get_type_hints(kind)
    known = [name for part in parts.values() for name in keywords_of(part)]
    for name in given:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}{hint}")
    return kind(**{name: _build(part, given) for name, part in parts.items()})


def keywords_of(kind: type) -> dict[str, str]:
    """Return the keywords of an option class and the fields they set."""
    return {keyword(field.name): field.name for field in fields(kind)}


def signature(kind: type, *first: inspect.Parameter) -> inspect.Signature:
    """Return the signature of a function that takes a request's options as keyword arguments."""
    options = [
        inspect.Parameter(keyword(field.name), inspect.Parameter.KEYWORD_ONLY, default=field.default)
        for part in get_type_hints(kind).values()
        for field in fields(part)
    ]
    return inspect.Signature([*first, *options])


def document_keywords(kind: type, *first: inspect.Parameter) -> Callable[[F], F]:
    """Show the options of a request in the signature of a function that takes them as `**options`."""

    def decorate(function: F) -> F:
        function.__signature__ = signature(kind, *first)  # type: ignore[attr-defined]
        return function

    return decorate


def _build(kind: type[R], given: Mapping[str, Any]) -> R:
    hints = get_type_hints(kind)
    names = keywords_of(kind)
    return kind(**{field: _coerce(hints[field], given[name], name) for name, field in names.items() if name in given})


def _coerce(hint: Any, value: Any, name: str) -> Any:
    if value is None:
        return value
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    if any(get_origin(kind) is tuple for kind in kinds):
        return (value,) if isinstance(value, str | Path) else tuple(value)
    if isinstance(value, str) and timedelta in kinds:
        return parse_duration(value, field=name)
    if isinstance(value, str) and Path in kinds:
        return Path(value)
    return value
