"""Settings: options over environment over `fairline.toml` over defaults. The only reader of the environment."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args
from urllib.parse import urlsplit

from fairline.config.files import KEY_FIELDS, Profile, config_files, read_profile, read_tables
from fairline.config.validation import Switch
from fairline.errors import ConfigError
from fairline.kalshi.auth import ApiKeyAuth, Auth, JwtAuth
from fairline.kalshi.client import DEMO, PRODUCTION
from fairline.kalshi.keys import PrivateKey, parse_private_key, read_private_key
from fairline.kalshi.redaction import show_value
from fairline.kalshi.security import is_loopback

if TYPE_CHECKING:
    from fairline.config.keychain import Secret

Scheme = Literal["api-key", "jwt"]
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
"""The environment variable of each setting."""
_KEYRING = "keyring:"
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
"""The REST hosts of each environment and their WebSocket hosts, which are never set apart."""
_URLS = {"production": PRODUCTION, "demo": DEMO}


@dataclass(frozen=True, slots=True)
class Settings:
    """The exchange and the key. The repr shows no secrets."""

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
        """Return the base URL of the trade API. Raises `ConfigError` for neither a name nor an address."""
        url = _URLS.get(self.exchange, self.exchange)
        if not url.startswith(("https://", "http://")):
            expected = f"expected production, demo or an http(s) URL, not {show_value(self.exchange)}"
            raise ConfigError(expected, field="exchange")
        if not _has_host(url):
            raise ConfigError(
                f"expected an address such as https://host/trade-api/v2, not {show_value(url)}", field="exchange"
            )
        parts = urlsplit(url)
        if parts.username or parts.password:
            raise ConfigError("the address contains a password, which would be shown; leave it out", field="exchange")
        return url.rstrip("/")

    @property
    def websocket_url(self) -> str:
        """Return the WebSocket URL that belongs to `url`."""
        parts = urlsplit(self.url)
        known = {host: ws for pairs in _HOSTS.values() for host, ws in pairs.items()}
        host = known.get(parts.hostname or "", parts.netloc)
        return f"{'wss' if parts.scheme == 'https' else 'ws'}://{host}/trade-api/ws/v2"

    @property
    def environment(self) -> str:
        """Return `production`, `demo`, or the host of another exchange."""
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        if parts.port not in (None, 443 if parts.scheme == "https" else 80):
            return f"{host}:{parts.port}"
        return next((name for name, hosts in _HOSTS.items() if host in hosts), host)

    @property
    def other_url(self) -> str:
        """Return the other environment, where a key could belong instead; empty for other exchanges."""
        return {"production": DEMO, "demo": PRODUCTION}.get(self.environment, "")

    @property
    def has_key(self) -> bool:
        return bool(self.key_file or self.key_text or self.key_id)

    def signer(self) -> Auth | None:
        """Return the signing scheme; None without a key, which is enough for market data.

        Raises `ConfigError` for an incomplete key and `PrivateKeyError` for an unusable one.
        """
        if not self.has_key:
            return None
        key_id, key = self.identity(), self.private_key()
        return JwtAuth(self.member_id, key_id, key) if self.auth == "jwt" else ApiKeyAuth(key_id, key)

    def identity(self) -> str:
        """Return the key id if the key is complete. Raises `ConfigError`."""
        if not (self.key_file or self.key_text):
            raise ConfigError(
                "there is a key id but no private key",
                remedy="Set key_file (KALSHI_PRIVATE_KEY_PATH) or KALSHI_PRIVATE_KEY",
            )
        key_id = self.key_id or (self._stored_key().key_id if self.key_file.startswith(_KEYRING) else "")
        if not key_id:
            raise ConfigError("there is a private key but no key id", remedy="Set key_id (KALSHI_API_KEY_ID)")
        if not all(c.isprintable() and c.isascii() for c in key_id + self.member_id):
            raise ConfigError("the key id has characters that no id has", remedy="Copy it again from the account page")
        if self.auth not in get_args(Scheme):
            raise ConfigError(f"expected api-key or jwt, not {show_value(self.auth)}", field="auth")
        if self.auth == "jwt" and not self.member_id:
            raise ConfigError("the jwt scheme needs a member id", remedy="Set member_id (KALSHI_MEMBER_ID)")
        return key_id

    def private_key(self) -> PrivateKey:
        """Return the private key from a file, standard input (`-`), the keyring (`keyring:NAME`) or the environment."""
        passphrase = self.passphrase or None
        if self.key_file.startswith(_KEYRING):
            secret = self._stored_key()
            return parse_private_key(secret.pem, passphrase or secret.passphrase or None)
        if self.key_file == "-":
            return parse_private_key(sys.stdin.read(), passphrase)
        if self.key_file:
            return read_private_key(Path(self.key_file).expanduser(), passphrase)
        return parse_private_key(self.key_text, passphrase)

    def _stored_key(self) -> "Secret":
        from fairline.config import keychain

        return keychain.fetch(self.key_file.removeprefix(_KEYRING))


def load_settings(
    options: Mapping[str, str | None] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    files: tuple[Path, ...] | None = None,
) -> Settings:
    """Return the settings from all places; the first of the files that exists is read. Raises `ConfigError`.

    A key is one thing: its id and its private half come from the same place, either options and environment or the
    file. A profile that was chosen takes precedence over the environment, exchange and key together. A key from a
    profile belongs to that profile's exchange: another exchange with it, or another key with it, is refused.
    """
    chosen = {name: value for name, value in (options or {}).items() if value}
    given = _read_environment(os.environ if environ is None else environ, chosen)
    key_from_environment = _has_key(given) and not _has_key(chosen)
    wanted = chosen.get("profile") or given.get("profile", "")
    profile = read_profile(config_files() if files is None else files, wanted)
    given |= chosen
    if key_from_environment:
        _check_environment_key(given, profile)
    filed = profile.values
    if _has_key(given):
        filed = {name: value for name, value in filed.items() if name not in KEY_FIELDS}
    settings = Settings(**(filed | given | {"profile": profile.name}))
    if "exchange" in given:
        _check_profile_key(filed, settings)
    elif profile.is_local and not wanted:
        _check_local_exchange(settings)
    return replace(settings, use_server_time=_parse_switch(settings.use_server_time))


def secret(text: str, environ: Mapping[str, str] | None = None) -> str:
    """Return a secret of the settings: the text itself, or for `env:NAME` the variable. Raises `ConfigError`."""
    if not text.startswith("env:"):
        return text
    name = text.removeprefix("env:")
    value = (os.environ if environ is None else environ).get(name, "")
    if not value:
        raise ConfigError(f"the environment variable {name} is not set", remedy="Set it, or change env:NAME")
    return value


def model_key(name: str, *, files: tuple[Path, ...] | None = None, environ: Mapping[str, str] | None = None) -> str:
    """Return the secret of that name under `[keys]`, which a model's input needs. Raises `ConfigError`."""
    path, tables = read_tables(files)
    value = tables["keys"].get(name)
    if not isinstance(value, str) or not value:
        where = path or "fairline.toml"
        raise ConfigError(f"{where} has no key {name}", remedy=f'Put {name} = "env:NAME" under [keys]')
    return secret(value, environ)


def supervisor() -> str:
    """Return the address on which the service manager expects status messages; empty without one."""
    return os.environ.get("NOTIFY_SOCKET", "")


def _read_environment(environ: Mapping[str, str], chosen: Mapping[str, str]) -> dict[str, str]:
    """Return the settings in the environment that a chosen profile or key file leaves in force."""
    given = {name: environ[variable] for name, variable in ENVIRONMENT.items() if environ.get(variable)}
    dropped: set[str] = set()
    if chosen.get("profile") or given.get("profile"):
        dropped |= {*KEY_FIELDS, "exchange"}
    if "key_file" in chosen:
        dropped.add("key_text")
    return {name: value for name, value in given.items() if name not in dropped}


def _has_key(values: Mapping[str, str]) -> bool:
    return any(name in values for name in KEY_FIELDS)


def _check_environment_key(given: Mapping[str, str], profile: Profile) -> None:
    if profile.name and "exchange" in profile.values and "exchange" not in given:
        raise ConfigError(
            f"the key in the environment may not belong to the exchange of profile {show_value(profile.name)}",
            remedy="Unset it, choose the profile by name, or name the exchange",
        )


def _check_profile_key(filed: Mapping[str, str], settings: Settings) -> None:
    home = Settings(exchange=filed.get("exchange", "production")).environment
    if _has_key(filed) and settings.environment != home:
        raise ConfigError(
            f"the configured key belongs to {home}, not to {settings.environment}",
            remedy="Choose a profile for that exchange, or give key id and key file",
        )


def _check_local_exchange(settings: Settings) -> None:
    """Refuse to send signed requests to a host that only a file in the current folder names."""
    if not settings.has_key or settings.environment in _HOSTS or is_loopback(urlsplit(settings.url).hostname or ""):
        return
    raise ConfigError(
        f"fairline.toml in this folder would send requests signed with your key to {settings.environment}",
        remedy="If you trust it, name the exchange (FAIRLINE_EXCHANGE) or its profile (FAIRLINE_PROFILE) yourself",
    )


def _has_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


def _parse_switch(text: str) -> str:
    try:
        return Switch.parse(text)
    except ValueError as error:
        raise ConfigError(f"expected true or false, not {show_value(text)}", field="use_server_time") from error
