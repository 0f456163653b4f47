"""Settings: flags over environment over `fairline.toml` over defaults. The only reader of the environment."""

import os
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import platformdirs

from fairline.config import keychain
from fairline.errors import ConfigError
from fairline.kalshi import (
    DEMO,
    PRODUCTION,
    ApiKeyAuth,
    Auth,
    JwtAuth,
    PrivateKey,
    parse_private_key,
    read_private_key,
)

_KEYRING = "keyring:"

ENVIRONMENT = {
    "profile": "FAIRLINE_PROFILE",
    "exchange": "FAIRLINE_EXCHANGE",
    "key_id": "KALSHI_API_KEY_ID",
    "key_file": "KALSHI_PRIVATE_KEY_PATH",
    "key_text": "KALSHI_PRIVATE_KEY",
    "passphrase": "KALSHI_PRIVATE_KEY_PASSPHRASE",
    "auth": "FAIRLINE_AUTH",
    "member_id": "KALSHI_MEMBER_ID",
    "use_server_time": "FAIRLINE_USE_SERVER_TIME",
}
_IN_FILE = ("exchange", "key_id", "key_file", "auth", "member_id", "use_server_time")
_KEY = ("key_id", "key_file", "key_text")
TABLES = ("watch", "receivers", "alerts", "keys")
"""Tables of the file that are not about the exchange: `instructions` reads them, and `model_key` the keys."""
# Host and WebSocket host travel together: the first of each is what the name stands for, the others are served too.
_HOSTS = {
    "production": {
        "external-api.kalshi.com": "external-api-ws.kalshi.com",
        "api.elections.kalshi.com": "api.elections.kalshi.com",
    },
    "demo": {
        "external-api.demo.kalshi.co": "external-api-ws.demo.kalshi.co",
        "demo-api.kalshi.co": "demo-api.kalshi.co",
    },
}
_URLS = {"production": PRODUCTION, "demo": DEMO}


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the exchange is and who asks. Secrets do not show in its repr."""

    profile: str = ""
    exchange: str = "production"
    key_id: str = ""
    key_file: str = ""
    key_text: str = field(default="", repr=False)
    passphrase: str = field(default="", repr=False)
    auth: str = "api-key"
    member_id: str = ""
    use_server_time: str = ""

    @property
    def url(self) -> str:
        """Base URL of the trade API. Raises `ConfigError` for what is neither a name nor an address."""
        url = _URLS.get(self.exchange, self.exchange)
        if not url.startswith(("https://", "http://")):
            raise ConfigError(
                f"{self.exchange!r} is not an exchange", remedy="--exchange takes production, demo or an http(s) URL"
            )
        try:
            parts = urlsplit(url)
            usable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
        except ValueError:
            usable = False
        if not usable:
            raise ConfigError(f"{url!r} is not an address", remedy="Such as https://host/trade-api/v2")
        if parts.username or parts.password:
            raise ConfigError("the address of --exchange carries a password", remedy="Leave it out: it would be shown")
        return url.rstrip("/")

    @property
    def websocket_url(self) -> str:
        """The WebSocket that belongs to `url`; it is never set apart from it."""
        parts = urlsplit(self.url)
        known = {host: ws for pairs in _HOSTS.values() for host, ws in pairs.items()}
        host = known.get(parts.hostname or "", parts.netloc)
        return f"{'wss' if parts.scheme == 'https' else 'ws'}://{host}/trade-api/ws/v2"

    @property
    def environment(self) -> str:
        """`production`, `demo`, or the host of another exchange."""
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        if parts.port not in (None, 443 if parts.scheme == "https" else 80):
            return f"{host}:{parts.port}"
        return next((name for name, hosts in _HOSTS.items() if host in hosts), host)

    @property
    def other_url(self) -> str:
        """The exchange's other environment, where a key could belong instead; empty for an address of your own."""
        return {"production": DEMO, "demo": PRODUCTION}.get(self.environment, "")

    @property
    def has_key(self) -> bool:
        return bool(self.key_file or self.key_text or self.key_id)

    def signer(self) -> Auth | None:
        """The signing scheme of these settings; None without a key, which is enough for market data.

        Raises `ConfigError` for half a set-up and `PrivateKeyError` for a key that cannot be used.
        """
        if not self.has_key:
            return None
        key_id, key = self.identity(), self.private_key()
        return JwtAuth(self.member_id, key_id, key) if self.auth == "jwt" else ApiKeyAuth(key_id, key)

    def identity(self) -> str:
        """The key id, once the settings are whole. Raises `ConfigError`."""
        if not (self.key_file or self.key_text):
            raise ConfigError(
                "there is a key id but no private key",
                remedy="Give --key-file, KALSHI_PRIVATE_KEY_PATH or KALSHI_PRIVATE_KEY",
            )
        key_id = self.key_id or (self._stored().key_id if self.key_file.startswith(_KEYRING) else "")
        if not key_id:
            raise ConfigError("there is a private key but no key id", remedy="Give --key-id or KALSHI_API_KEY_ID")
        if not all(c.isprintable() and c.isascii() for c in key_id + self.member_id):
            raise ConfigError("the key id has characters that no id has", remedy="Copy it again from the account page")
        if self.auth not in ("api-key", "jwt"):
            raise ConfigError(f"{self.auth!r} is not a scheme", remedy="--auth takes api-key or jwt")
        if self.auth == "jwt" and not self.member_id:
            raise ConfigError("the jwt scheme needs a member id", remedy="Give --member-id or KALSHI_MEMBER_ID")
        return key_id

    def private_key(self) -> PrivateKey:
        """The private key from a file, standard input (`-`), the keyring (`keyring:NAME`) or the environment's text."""
        if self.key_file == "-":
            return parse_private_key(sys.stdin.read(), self.passphrase or None)
        if self.key_file.startswith(_KEYRING):
            secret = self._stored()
            return parse_private_key(secret.pem, self.passphrase or secret.passphrase or None)
        if self.key_file:
            return read_private_key(Path(self.key_file).expanduser(), self.passphrase or None)
        return parse_private_key(self.key_text, self.passphrase or None)

    def _stored(self) -> keychain.Secret:
        return keychain.fetch(self.key_file.removeprefix(_KEYRING))


def load_settings(
    flags: Mapping[str, str | None] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    files: tuple[Path, ...] | None = None,
) -> Settings:
    """Settings from all places; the first of the files that exists is read. Raises `ConfigError`.

    A key is one thing: its id and its private half come from the same place, be that flags and environment or the
    file. A profile that is named outright goes over the environment, exchange and key together. A key from a profile
    belongs to that profile's exchange: naming another exchange with it, or bringing another key to it, is refused.
    """
    environ = os.environ if environ is None else environ
    flagged = {name: value for name, value in (flags or {}).items() if value}
    given = {name: environ[variable] for name, variable in ENVIRONMENT.items() if environ.get(variable)}
    named = flagged.get("profile") or given.get("profile", "")
    if named:
        given = {name: value for name, value in given.items() if name not in (*_KEY, "exchange")}
    if "key_file" in flagged:
        given.pop("key_text", None)
    brought = any(name in given for name in _KEY) and not any(name in flagged for name in _KEY)
    given |= flagged
    filed, profile = _read_file(config_files() if files is None else files, named)
    if any(name in given for name in _KEY):
        if profile and brought and "exchange" in filed and "exchange" not in given:
            raise ConfigError(
                f"the key in the environment may not belong to the exchange of profile {profile!r}",
                remedy="Unset it, choose the profile with --profile, or name the exchange with --exchange",
            )
        filed = {name: value for name, value in filed.items() if name not in _KEY}
    settings = Settings(**(filed | given | {"profile": profile}))
    home = Settings(exchange=filed.get("exchange", "production"))
    if any(name in filed for name in _KEY) and "exchange" in given and settings.environment != home.environment:
        raise ConfigError(
            f"the configured key belongs to {home.environment}, not to {settings.environment}",
            remedy="Choose a --profile for that exchange, or give --key-id and --key-file",
        )
    return replace(settings, use_server_time=_yes(settings.use_server_time))


def config_files() -> tuple[Path, ...]:
    """Where a `fairline.toml` is looked for: here, then in the user's configuration folder."""
    return Path("fairline.toml"), platformdirs.user_config_path("fairline") / "fairline.toml"


def read_tables(files: tuple[Path, ...] | None = None) -> tuple[Path | None, dict[str, dict[str, Any]]]:
    """The tables of TABLES in the first file that exists, and that file. Raises `ConfigError`."""
    path, content = _content(config_files() if files is None else files)
    tables = {name: content.get(name, {}) for name in TABLES}
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise ConfigError(f"{path}: {name} must be a table", remedy=f"Such as [{name}]; see docs/running.md")
    return path, tables


def secret(text: str, environ: Mapping[str, str] | None = None) -> str:
    """A secret as settings give it: itself, or `env:NAME`, which stands in the environment. Raises `ConfigError`."""
    if not text.startswith("env:"):
        return text
    name = text.removeprefix("env:")
    value = (os.environ if environ is None else environ).get(name, "")
    if not value:
        raise ConfigError(f"the environment has no {name}", remedy="Set it, or change the setting that names it")
    return value


def model_key(name: str, *, files: tuple[Path, ...] | None = None, environ: Mapping[str, str] | None = None) -> str:
    """The secret of that name under `[keys]`, which a model's input needs. Raises `ConfigError`."""
    path, tables = read_tables(files)
    value = tables["keys"].get(name)
    if not isinstance(value, str) or not value:
        where = path or "fairline.toml"
        raise ConfigError(f"{where} has no key {name}", remedy=f'Put {name} = "env:NAME" under [keys]')
    return secret(value, environ)


def supervisor() -> str:
    """Where the system's service manager wants to hear how one is doing; empty if there is none."""
    return os.environ.get("NOTIFY_SOCKET", "")


def _content(files: tuple[Path, ...]) -> tuple[Path | None, dict[str, Any]]:
    path = next((file for file in files if file.is_file()), None)
    if path is None:
        return None, {}
    try:
        return path, tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read ({error})", remedy="Mend or remove it") from None


def _read_file(files: tuple[Path, ...], profile: str) -> tuple[dict[str, str], str]:
    """The settings of a profile, or those outside any, of the first file that exists, and the profile's name.

    A profile does not inherit exchange and key from outside: they travel together or not at all.
    """
    path, content = _content(files)
    if path is None:
        if profile:
            raise ConfigError(
                f"there is no fairline.toml with a profile {profile!r}", remedy="See docs/authentication.md"
            )
        return {}, ""
    content = {key: value for key, value in content.items() if key not in TABLES}
    profiles, default = content.pop("profiles", {}), content.pop("profile", "")
    if not isinstance(profiles, dict) or not all(isinstance(p, dict) for p in profiles.values()):
        raise ConfigError(f"{path}: profiles must be tables", remedy="Such as [profiles.live]")
    if not isinstance(default, str):
        raise ConfigError(f"{path}: profile must be text", remedy="Put it in quotes")
    name = profile or default
    if name:
        if name not in profiles:
            there = ", ".join(profiles) or "none"
            raise ConfigError(f"{path} has no profile {name!r}", remedy=f"Profiles there: {there}")
        outside = {key: value for key, value in content.items() if key not in (*_KEY, "exchange")}
        content = outside | profiles[name]
    return {key: _checked(path, key, value) for key, value in content.items()}, name


def _yes(text: str) -> str:
    """A switch as `yes` or nothing. Raises `ConfigError` for what is neither."""
    if text.lower() in ("", "0", "no", "false", "off"):
        return ""
    if text.lower() in ("1", "yes", "true", "on"):
        return "yes"
    raise ConfigError(f"use_server_time = {text!r} is neither yes nor no", remedy="Use true or false")


def _checked(path: Path, name: str, value: object) -> str:
    if name not in _IN_FILE:
        hint = "keep secrets out of it" if name in ENVIRONMENT else f"it takes {', '.join(_IN_FILE)}"
        raise ConfigError(f"{path} has an unknown setting {name!r}", remedy=hint.capitalize())
    if name == "use_server_time" and isinstance(value, bool):
        return "yes" if value else ""
    if not isinstance(value, str):
        raise ConfigError(f"{path}: {name} must be text", remedy="Put it in quotes")
    return value
