from pathlib import Path

import pytest

from fairline.config.settings import load_settings
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
        ({"key_id": "id", "key_file": "x", "auth": "basic"}, "invalid auth: expected api-key or jwt"),
    ],
)
def test_half_a_set_up_says_what_is_missing(flags, sentence):
    with pytest.raises(ConfigError, match=sentence):
        settings(flags).signer()


@pytest.mark.parametrize("exchange", ["staging", "ftp://x", "kalshi.com", "http://", "http://h:port/x"])
def test_an_exchange_is_a_name_or_an_address(exchange):
    with pytest.raises(ConfigError, match="invalid exchange: "):
        _ = settings({"exchange": exchange}).url


@pytest.mark.parametrize(
    "toml,sentence",
    [
        ("exchange = ", "cannot read"),
        ('color = "red"', "unknown key 'color'"),
        ('passphrase = "x"', "passphrase in .* is a secret. Keep it out of the file"),
        ("exchange = 5", "invalid exchange in .*: expected str"),
    ],
)
def test_a_bad_file_is_named_with_its_fault(tmp_path, toml, sentence):
    with pytest.raises(ConfigError, match=sentence):
        settings(None, None, toml, tmp_path)


def test_a_password_in_the_address_is_refused_rather_than_shown():
    with pytest.raises(ConfigError, match="contains a password") as caught:
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


ENV_KEY = {"KALSHI_API_KEY_ID": "env-key", "KALSHI_PRIVATE_KEY_PATH": "env.pem"}


def test_a_named_profile_goes_over_the_environment_as_one_unit(tmp_path):
    named = settings({"profile": "paper"}, {**ENV_KEY, "FAIRLINE_EXCHANGE": "production"}, PROFILES, tmp_path)
    assert (named.environment, named.key_id, named.key_file) == ("demo", "paper-key", "paper.pem")


def test_a_key_from_elsewhere_never_meets_a_profiles_exchange_or_half_of_its_key(tmp_path):
    default_paper = PROFILES.replace('profile = "live"', 'profile = "paper"')
    with pytest.raises(ConfigError, match="may not belong to the exchange of profile 'paper'"):
        settings(None, ENV_KEY, default_paper, tmp_path)
    half = settings(None, {"KALSHI_API_KEY_ID": "env-key"}, PROFILES, tmp_path)
    assert (half.key_id, half.key_file) == ("env-key", "")
    with pytest.raises(ConfigError, match="no private key"):
        half.signer()
    outside = 'key_id = "top"\nkey_file = "top.pem"\n[profiles.paper]\nexchange = "demo"\n'
    assert not settings({"profile": "paper"}, None, outside, tmp_path).has_key


@pytest.mark.parametrize("toml", ['profiles = ["a"]', '[profiles]\na = "x"', "profile = 5"])
def test_profiles_of_the_wrong_form_are_refused(tmp_path, toml):
    with pytest.raises(ConfigError):
        settings(None, None, toml, tmp_path)


def test_ports_and_case_do_not_make_another_host():
    assert settings({"exchange": "https://API.elections.kalshi.com:443/trade-api/v2"}).environment == "production"
    assert settings({"exchange": "http://127.0.0.1:8080/trade-api/v2"}).environment == "127.0.0.1:8080"


@pytest.mark.parametrize(("text", "meant"), [("true", "yes"), ("1", "yes"), ("false", ""), ("no", ""), ("OFF", "")])
def test_a_switch_is_yes_or_no(text, meant):
    assert settings(None, {"FAIRLINE_USE_SERVER_TIME": text}).use_server_time == meant
    with pytest.raises(ConfigError, match="expected true or false"):
        settings(None, {"FAIRLINE_USE_SERVER_TIME": "perhaps"})


def test_an_address_of_your_own_has_its_own_websocket():
    assert settings({"exchange": "http://127.0.0.1:8080/trade-api/v2"}).websocket_url == (
        "ws://127.0.0.1:8080/trade-api/ws/v2"
    )


def test_a_profile_that_is_not_there_is_named_with_those_that_are(tmp_path):
    with pytest.raises(ConfigError, match="no profile 'dmeo' in .*. Profiles: live, paper"):
        settings({"profile": "dmeo"}, None, PROFILES, tmp_path)
    with pytest.raises(ConfigError, match="no fairline.toml with a profile"):
        settings({"profile": "live"})


def test_secrets_do_not_show(rsa_pem):
    got = settings(environ={"KALSHI_PRIVATE_KEY": rsa_pem, "KALSHI_PRIVATE_KEY_PASSPHRASE": "sesame"})
    assert "BEGIN" not in repr(got)
    assert "sesame" not in repr(got)


KEY = {"KALSHI_API_KEY_ID": "id", "KALSHI_PRIVATE_KEY": "text"}


@pytest.mark.parametrize(
    ("content", "environ"),
    [
        ('exchange = "https://evil.example/trade-api/v2"', KEY),
        ('exchange = "https://evil.example/v2"\nkey_id = "id"\nkey_file = "keyring:live"', {}),
        ('profile = "p"\n[profiles.p]\nexchange = "https://evil.example/v2"\nkey_file = "keyring:live"', {}),
    ],
)
def test_a_file_in_the_current_folder_cannot_redirect_signed_requests(tmp_path, monkeypatch, content, environ):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fairline.toml").write_text(content)
    files = (Path("fairline.toml"), tmp_path / "config" / "fairline.toml")
    with pytest.raises(ConfigError, match="would send requests signed with your key to evil.example"):
        load_settings(environ=environ, files=files)
    confirmed = {"FAIRLINE_PROFILE": "p"} if "profiles" in content else {"FAIRLINE_EXCHANGE": "https://evil.example/v2"}
    assert load_settings(environ=environ | confirmed, files=files).environment == "evil.example"


@pytest.mark.parametrize(
    "exchange", ["demo", "https://external-api.kalshi.com/trade-api/v2", "http://127.0.0.1:8080/v2"]
)
def test_a_file_in_the_current_folder_may_name_a_known_exchange(tmp_path, monkeypatch, exchange):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fairline.toml").write_text(f'exchange = "{exchange}"')
    assert load_settings(environ=KEY, files=(Path("fairline.toml"),)).exchange == exchange


def test_the_users_own_file_may_name_any_exchange(tmp_path, monkeypatch):
    folder = tmp_path / "config"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    (folder / "fairline.toml").write_text('exchange = "https://own.example/v2"')
    assert load_settings(environ=KEY, files=(folder / "fairline.toml",)).environment == "own.example"
