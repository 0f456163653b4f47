"""Whatever a user puts in the wrong place, no command prints a secret."""

import json

import pytest

from fairline.sim import Exchange
from tests.flow.test_cli import fairline

__all__ = ["fairline"]

TOKEN = "8061244907:AAH5qLwmX3cKd9ZpQ2vN7bR1sTfYuIoPaSd"


@pytest.fixture(scope="module")
def place():
    with Exchange(markets=20) as exchange:
        yield exchange


@pytest.mark.parametrize(
    "command", [("balance",), ("doctor",), ("doctor", "--json"), ("markets",), ("scan", "coherent")]
)
def test_a_key_in_place_of_its_path_is_not_printed(fairline, place, rsa_pem, monkeypatch, command):
    monkeypatch.setenv("KALSHI_PRIVATE_KEY_PATH", rsa_pem)
    monkeypatch.setenv("KALSHI_API_KEY_ID", "id")
    done = fairline(*command, "--exchange", place.url)
    output = done.stdout + done.stderr
    for line in rsa_pem.splitlines()[1:-1]:
        assert line not in output
    assert "PRIVATE KEY-----" not in output
    if command[-1] == "--json":
        json.loads(done.stdout)


@pytest.mark.parametrize(
    "option", ["--key-file", "--exchange", "--profile", "--auth", "--max-age", "--status", "--format"]
)
def test_a_key_in_any_option_is_not_printed(fairline, place, rsa_pem, option):
    done = fairline("scan", "coherent", "--exchange", place.url, option, rsa_pem)
    assert done.returncode != 0
    output = done.stdout + done.stderr
    assert not [line for line in rsa_pem.splitlines()[1:-1] if line in output]
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "toml",
    [
        f'[alerts.a]\nto = ["tgram://{TOKEN}/5"]',
        f'[receivers]\nphone = "tgrm://{TOKEN}/5"',
        f'[alerts.a]\nto = "tgram://{TOKEN}/5"',
        f'[watch]\nping = "https://hc/{TOKEN}"\ndead_man = "{TOKEN}"',
        f'exchange = "https://u:{TOKEN}@host/v2"',
        f'key_file = "{TOKEN}"\nkey_id = "id"',
    ],
)
def test_a_token_in_the_settings_is_not_printed(fairline, place, tmp_path, monkeypatch, toml):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fairline.toml").write_text(toml)
    (tmp_path / "fairline.toml").chmod(0o600)
    at = () if toml.startswith(("exchange", "key_file")) else ("--exchange", place.url)
    done = fairline("watch", "coherent", "--scans", "1", "--store", tmp_path / "store", *at)
    assert done.returncode in (1, 2), done.stderr
    assert TOKEN not in done.stdout + done.stderr
    assert TOKEN.partition(":")[2] not in done.stdout + done.stderr
