"""Which rounding of fees an account's own fills proved, remembered for later scans with the same key."""

import contextlib
import hashlib
import json
from pathlib import Path

import platformdirs

from fairline.config.settings import Settings
from fairline.errors import ConfigError
from fairline.files import write_atomic


def remember_policy(settings: Settings, policy: str | None) -> None:
    """Note the name of the proven policy, or forget it with None. Without a writable folder nothing is noted.

    What is kept is the policy beside a digest of exchange and key id.
    """
    known = _read()
    mark = _mark(settings)
    if policy is None:
        known.pop(mark, None)
    else:
        known[mark] = policy
    with contextlib.suppress(OSError):
        _path().parent.mkdir(parents=True, exist_ok=True)
        write_atomic(_path(), json.dumps(known, sort_keys=True).encode(), mode=0o600)


def proven_policy(settings: Settings) -> str | None:
    """Return the name of the policy that was proven for this exchange and key, None if none was."""
    if not settings.has_key:
        return None
    try:
        return _read().get(_mark(settings))
    except ConfigError:
        return None


def _mark(settings: Settings) -> str:
    return hashlib.sha256(f"fees {settings.environment} {settings.identity()}".encode()).hexdigest()[:32]


def _path() -> Path:
    return platformdirs.user_state_path("fairline") / "proven-fees.json"


def _read() -> dict[str, str]:
    try:
        content = json.loads(_path().read_text())
    except (OSError, ValueError):
        return {}
    return {str(mark): str(policy) for mark, policy in content.items()} if isinstance(content, dict) else {}
