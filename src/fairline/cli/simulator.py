"""Run the simulated exchange in this process until it is stopped."""

import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fairline.cli.terminal import note
from fairline.errors import UsageError
from fairline.kalshi.redaction import show_value
from fairline.sim import Exchange, Fault, Key, read_public_key, throw_away_pair


def run_simulator(
    public_keys: Sequence[str], tier: str | None, fault_texts: Sequence[str], *, trader: int | None = None, **world: Any
) -> None:
    """Start an exchange, say how to reach it, and serve until SIGINT or SIGTERM.

    Without a public key, a throw-away key pair is registered. With `trader`, the member of every key trades by a script
    of that seed. `world` are arguments of `Exchange`.
    """
    faults = [Fault.parse(text) for text in fault_texts]
    with tempfile.TemporaryDirectory(prefix="fairline-sim-") as folder:
        keys = [_registered_key(text, tier, trader) for text in public_keys]
        exports = "" if keys else _add_throw_away_key(Path(folder), tier, trader, keys)
        exchange = Exchange(tier=tier, faults=faults, keys=keys, **world)
        exchange.render_all()
        with exchange:
            listed = len(exchange.backend.catalog.tickers)
            print(f"Simulated exchange with {listed:,} markets at {exchange.url}")
            print(f"The article's API is at {exchange.article_url}")
            limits = f"those of the tier {tier}" if tier else "none; choose some with --tier"
            print(f"Rate limits: {limits}\n{exports}Press Ctrl-C to stop.", flush=True)
            _wait_for_signal()


def _registered_key(text: str, tier: str | None, trader: int | None) -> Key:
    key_id, _, path = text.partition("=")
    if not key_id or not path:
        raise UsageError(f"expected KEY_ID=FILE such as my-key=public.pem, not {show_value(text)}", field="public_key")
    return Key(key_id, read_public_key(Path(path)), tier=tier, trader_seed=trader)


def _add_throw_away_key(folder: Path, tier: str | None, trader: int | None, keys: list[Key]) -> str:
    """Register a new key and return how to use it."""
    path = folder / "key.pem"
    key = Key("sim-key", throw_away_pair(path), tier=tier, trader_seed=trader)
    keys.append(key)
    return (
        f"To sign in:\n  export KALSHI_API_KEY_ID={key.key_id}\n  export KALSHI_PRIVATE_KEY_PATH={path}\n"
        f"The article's member id is {key.member_id}\n"
    )


def _wait_for_signal() -> None:
    """Sleep until SIGINT or SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        signal.pause()
    except KeyboardInterrupt:
        note("Stopped.")
