"""`live`: the best opportunities on the whole terminal, as the feed changes them."""

import asyncio
import sys
from datetime import timedelta
from typing import Annotated

from cyclopts import Group, Parameter

from fairline.api.options import Connection, Credentials, ModelInputs
from fairline.cli.options import (
    ConnectionOptions,
    CredentialOptions,
    FilterOptions,
    InputOptions,
    ModelArguments,
    ModelOptions,
    RuleOptions,
)
from fairline.errors import ConfigError, UsageError
from fairline.market.filters import Filters
from fairline.pricing.rules import Rules

_LIVE = Group("Live feed", sort_key=37)


def live(
    *models: ModelArguments,
    named: ModelOptions = ModelOptions(),
    filters: FilterOptions = Filters(),
    rules: RuleOptions = Rules(),
    inputs: InputOptions = ModelInputs(),
    audit_every: Annotated[timedelta, Parameter(group=_LIVE, help="Time between two full scans.")] = timedelta(
        minutes=30
    ),
    tick: Annotated[float, Parameter(group=_LIVE, help="Seconds between two rounds of pricing.")] = 0.1,
    connection: ConnectionOptions = Connection(),
    credentials: CredentialOptions = Credentials(),
) -> None:
    """Show the best opportunities as the exchange's feed changes them, on the whole terminal."""
    from functools import partial

    from fairline.api.beliefs import load_beliefs
    from fairline.api.session import exact_filters, load_models, sources
    from fairline.cli.live_process import LiveView, show_live
    from fairline.cli.settings import read_settings, sign_in
    from fairline.cli.terminal import note
    from fairline.kalshi import ApiKeyAuth

    if not 0.01 <= tick <= 60:
        raise UsageError("expected 0.01 to 60 seconds", field="tick")
    if audit_every < timedelta(seconds=1):
        raise UsageError("expected at least one second", field="audit_every")
    wanted, exact = load_models(named.all_models(*models)), exact_filters(filters)
    settings = read_settings(connection, credentials)
    auth = sign_in(settings)
    if not isinstance(auth, ApiKeyAuth):
        raise ConfigError(
            "the live feed needs an API key", remedy="Give --key-id and --key-file, or use fairline watch"
        )
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("live needs a terminal", remedy="Use fairline watch --live for a process without one")
    read_beliefs = partial(load_beliefs, settings, inputs.trust, note)
    asyncio.run(
        show_live(LiveView(settings, auth, wanted, exact, rules, read_beliefs, sources(inputs), audit_every, tick))
    )
