"""Settings: flags over environment over `fairline.toml` over defaults. The only reader of the environment."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import platformdirs

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

ENVIRONMENT = {
    "exchange": "FAIRLINE_EXCHANGE",
    "key_id": "KALSHI_API_KEY_ID",
    "key_file": "KALSHI_PRIVATE_KEY_PATH",
    "key_text": "KALSHI_PRIVATE_KEY",
    "passphrase": "KALSHI_PRIVATE_KEY_PASSPHRASE",
    "auth": "FAIRLINE_AUTH",
    "member_id": "KALSHI_MEMBER_ID",
}
_IN_FILE = ("exchange", "key_id", "key_file", "auth", "member_id")
_HOSTS = {"production": PRODUCTION, "demo": DEMO}


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the exchange is and who asks. Secrets do not show in its repr."""

    exchange: str = "production"
    key_id: str = ""
    key_file: str = ""
    key_text: str = field(default="", repr=False)
    passphrase: str = field(default="", repr=False)
    auth: str = "api-key"
    member_id: str = ""

    @property
    def url(self) -> str:
        """Base URL of the trade API. Raises `ConfigError` for what is neither a name nor an address."""
        url = _HOSTS.get(self.exchange, self.exchange)
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

    def signer(self) -> Auth | None:
        """The signing scheme of these settings; None without a key, which is enough for market data.

        Raises `ConfigError` for half a set-up and `PrivateKeyError` for a key that cannot be used.
        """
        has_key = bool(self.key_file or self.key_text)
        if not has_key and not self.key_id:
            return None
        if not has_key:
            raise ConfigError(
                "there is a key id but no private key",
                remedy="Give --key-file, KALSHI_PRIVATE_KEY_PATH or KALSHI_PRIVATE_KEY",
            )
        if not all(c.isprintable() and c.isascii() for c in self.key_id + self.member_id):
            raise ConfigError("the key id has characters that no id has", remedy="Copy it again from the account page")
        if not self.key_id:
            raise ConfigError("there is a private key but no key id", remedy="Give --key-id or KALSHI_API_KEY_ID")
        if self.auth == "jwt":
            if not self.member_id:
                raise ConfigError("the jwt scheme needs a member id", remedy="Give --member-id or KALSHI_MEMBER_ID")
            return JwtAuth(self.member_id, self.key_id, self._key())
        if self.auth != "api-key":
            raise ConfigError(f"{self.auth!r} is not a scheme", remedy="--auth takes api-key or jwt")
        return ApiKeyAuth(self.key_id, self._key())

    def _key(self) -> PrivateKey:
        if self.key_file:
            return read_private_key(Path(self.key_file).expanduser(), self.passphrase or None)
        return parse_private_key(self.key_text, self.passphrase or None)


def load_settings(
    flags: Mapping[str, str | None] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    files: tuple[Path, ...] | None = None,
) -> Settings:
    """Settings from all places; the first of the files that exists is read. Raises `ConfigError`.

    A key named by a flag replaces one from the environment, whichever of its two forms that has.
    """
    environ = os.environ if environ is None else environ
    values = _read_file(config_files() if files is None else files)
    values |= {name: environ[variable] for name, variable in ENVIRONMENT.items() if environ.get(variable)}
    given = {name: value for name, value in (flags or {}).items() if value}
    if "key_file" in given:
        values.pop("key_text", None)
    return Settings(**(values | given))


def config_files() -> tuple[Path, ...]:
    """Where a `fairline.toml` is looked for: here, then in the user's configuration folder."""
    return Path("fairline.toml"), platformdirs.user_config_path("fairline") / "fairline.toml"


def _read_file(files: tuple[Path, ...]) -> dict[str, str]:
    path = next((file for file in files if file.is_file()), None)
    if path is None:
        return {}
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read ({error})", remedy="Mend or remove it") from None
    for name, value in content.items():
        if name not in _IN_FILE:
            hint = "keep secrets out of it" if name in ENVIRONMENT else f"it takes {', '.join(_IN_FILE)}"
            raise ConfigError(f"{path} has an unknown setting {name!r}", remedy=hint.capitalize())
        if not isinstance(value, str):
            raise ConfigError(f"{path}: {name} must be text", remedy="Put it in quotes")
    return dict(content)
