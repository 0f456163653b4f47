import pytest

from fairline.config import load_settings
from fairline.errors import ConfigError
from fairline.kalshi import DEMO, PRODUCTION, ApiKeyAuth, JwtAuth


def settings(flags=None, environ=None, toml=None, tmp_path=None):
    files = ()
    if toml is not None:
        (tmp_path / "fairline.toml").write_text(toml)
        files = (tmp_path / "fairline.toml",)
    return load_settings(flags, environ=environ or {}, files=files)


def test_by_default_it_is_production_without_a_key():
    got = settings()
    assert got.url == PRODUCTION
    assert got.signer() is None


def test_flags_go_over_environment_over_file_over_defaults(tmp_path):
    toml = 'exchange = "demo"\nkey_id = "from-file"\nmember_id = "m"'
    environ = {"KALSHI_API_KEY_ID": "from-environment", "FAIRLINE_EXCHANGE": "http://e/"}
    got = settings({"key_id": "from-flag"}, environ, toml, tmp_path)
    assert (got.key_id, got.url, got.member_id) == ("from-flag", "http://e", "m")
    assert settings(None, None, toml, tmp_path).url == DEMO


def test_a_key_file_by_flag_replaces_key_text_from_the_environment(tmp_path, rsa_pem):
    path = tmp_path / "key.pem"
    path.write_text(rsa_pem)
    got = settings({"key_file": str(path)}, {"KALSHI_PRIVATE_KEY": "broken", "KALSHI_API_KEY_ID": "id"})
    assert isinstance(got.signer(), ApiKeyAuth)


def test_a_key_as_text_in_the_environment_signs(rsa_pem):
    environ = {"KALSHI_PRIVATE_KEY": rsa_pem.replace("\n", "\\n"), "KALSHI_API_KEY_ID": "id"}
    assert isinstance(settings(environ=environ).signer(), ApiKeyAuth)
    jwt = settings({"auth": "jwt", "member_id": "m"}, environ)
    assert isinstance(jwt.signer(), JwtAuth)


@pytest.mark.parametrize(
    "flags,sentence",
    [
        ({"key_id": "id"}, "no private key"),
        ({"key_file": "x"}, "no key id"),
        ({"key_id": "id", "key_file": "x", "auth": "jwt"}, "member id"),
        ({"key_id": "id", "key_file": "x", "auth": "basic"}, "not a scheme"),
    ],
)
def test_half_a_set_up_says_what_is_missing(flags, sentence):
    with pytest.raises(ConfigError, match=sentence):
        settings(flags).signer()


@pytest.mark.parametrize("exchange", ["staging", "ftp://x", "kalshi.com", "http://", "http://h:port/x"])
def test_an_exchange_is_a_name_or_an_address(exchange):
    with pytest.raises(ConfigError, match="is not an (exchange|address)"):
        _ = settings({"exchange": exchange}).url


@pytest.mark.parametrize(
    "toml,sentence",
    [
        ("exchange = ", "cannot be read"),
        ('color = "red"', "unknown setting 'color'"),
        ('passphrase = "x"', "Keep secrets out of it"),
        ("exchange = 5", "must be text"),
    ],
)
def test_a_bad_file_is_named_with_its_fault(tmp_path, toml, sentence):
    with pytest.raises(ConfigError, match=sentence):
        settings(None, None, toml, tmp_path)


def test_a_password_in_the_address_is_refused_rather_than_shown():
    with pytest.raises(ConfigError, match="carries a password") as caught:
        _ = settings({"exchange": "https://me:s3cret@host/trade-api/v2"}).url
    assert "s3cret" not in str(caught.value)


def test_a_key_id_with_a_line_break_is_refused(rsa_pem):
    with pytest.raises(ConfigError, match="characters that no id has"):
        settings({"key_id": "a\nb"}, {"KALSHI_PRIVATE_KEY": rsa_pem}).signer()


PROFILES = """
profile = "live"
[profiles.live]
key_id = "live-key"
key_file = "live.pem"
[profiles.paper]
exchange = "demo"
key_id = "paper-key"
key_file = "paper.pem"
use_server_time = true
"""


def test_a_profile_brings_host_websocket_and_key_together(tmp_path):
    live = settings(None, None, PROFILES, tmp_path)
    paper = settings({"profile": "paper"}, None, PROFILES, tmp_path)
    assert (live.environment, live.key_id, live.websocket_url.split("/")[2]) == (
        "production", "live-key", "external-api-ws.kalshi.com",
    )  # fmt: skip
    assert (paper.environment, paper.key_id, paper.websocket_url.split("/")[2]) == (
        "demo", "paper-key", "external-api-ws.demo.kalshi.co",
    )  # fmt: skip
    assert (live.use_server_time, paper.use_server_time) == ("", "yes")
    assert settings(None, {"FAIRLINE_PROFILE": "paper"}, PROFILES, tmp_path).key_id == "paper-key"


def test_an_address_cannot_leave_half_of_the_client_elsewhere(tmp_path):
    with pytest.raises(ConfigError, match="belongs to production, not to demo"):
        settings({"exchange": "demo"}, None, PROFILES, tmp_path)
    with pytest.raises(ConfigError, match="belongs to demo, not to 127"):
        settings({"exchange": "http://127.0.0.1:8080/trade-api/v2", "profile": "paper"}, None, PROFILES, tmp_path)
    also_served = settings({"exchange": "https://api.elections.kalshi.com/trade-api/v2"}, None, PROFILES, tmp_path)
    assert also_served.websocket_url == "wss://api.elections.kalshi.com/trade-api/ws/v2"
    own = {"exchange": "demo", "key_id": "mine", "key_file": "mine.pem"}
    assert settings(own, None, PROFILES, tmp_path).websocket_url.startswith("wss://external-api-ws.demo.kalshi.co/")


def test_an_address_of_your_own_has_its_own_websocket():
    assert settings({"exchange": "http://127.0.0.1:8080/trade-api/v2"}).websocket_url == (
        "ws://127.0.0.1:8080/trade-api/ws/v2"
    )


def test_a_profile_that_is_not_there_is_named_with_those_that_are(tmp_path):
    with pytest.raises(ConfigError, match="no profile 'dmeo'. Profiles there: live, paper"):
        settings({"profile": "dmeo"}, None, PROFILES, tmp_path)
    with pytest.raises(ConfigError, match="no fairline.toml with a profile"):
        settings({"profile": "live"})


def test_secrets_do_not_show(rsa_pem):
    got = settings(environ={"KALSHI_PRIVATE_KEY": rsa_pem, "KALSHI_PRIVATE_KEY_PASSPHRASE": "sesame"})
    assert "BEGIN" not in repr(got)
    assert "sesame" not in repr(got)
