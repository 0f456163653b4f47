import pytest

from fairline.kalshi.errors import PrivateKeyError
from fairline.kalshi.keys import read_pem, read_private_key
from fairline.kalshi.redaction import looks_secret, redact, show_path, show_value

TOKEN = "8061244907:AAH5qLwmX3cKd9ZpQ2vN7bR1sTfYuIoPaSd"

SECRETS = [
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----",
    "MIIEowIBAAKCAQEAx3vTqz5Xl0k9Yw2u7bC1dE4fG6hI8jK0lM2nO4pQ6rS8tU0v",
    "line one\nline two",
    "eyJhbGciOiJQUzI1NiJ9.eyJtZW1iZXJfaWQiOiJtIn0.c2lnbmF0dXJl",
    "xoxb-123456789012-1234567890123-AbCdEfGhIjKlMnOpQrStUvWx",
    "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "0123456789abcdef0123456789abcdef",
]
PLAIN = [
    "production",
    "soon",
    "KXNFLGAME-26NOV30DALPHI-DAL",
    "KXPRESPERSON-28-JVAN",
    "my-long-profile-name-for-the-weekend-watch",
    "/home/someone/projects/fairline/keys/key.pem",
    "https://external-api.kalshi.com/trade-api/v2",
    "9c1185a5-4c5e-4b7e-9c1d-6a1f5d0c2b3e",
    "America/Argentina/ComodRivadavia",
    "2026-11-22T18:00:00Z",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_a_value_that_looks_like_a_secret_is_not_shown(secret):
    shown = show_value(secret)
    assert shown == f"(a value of {len(secret):,} characters, not shown)"


@pytest.mark.parametrize("value", PLAIN)
def test_an_ordinary_value_is_shown(value):
    assert not looks_secret(value)
    assert value in show_value(value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"tgram://{TOKEN}/123", "'tgram://…'"),
        ("discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js", "'discord://…'"),
        ("https://me:secret@host/trade-api/v2", "'https://…@host/trade-api/v2'"),
        (f"https://host/hook/{TOKEN}?token=abc", "'https://host/hook/…?…'"),
        ("http://[bad", "'http://…'"),
    ],
)
def test_of_an_address_only_what_is_no_secret_is_shown(url, shown):
    assert show_value(url) == shown


def test_a_long_or_strange_value_is_one_short_line():
    assert len(show_value("a b " * 1_000)) < 140
    assert "\x1b" not in show_value("\x1b[31mred")


@pytest.mark.parametrize("read", [read_private_key, read_pem])
def test_a_private_key_given_instead_of_its_path_is_not_shown(rsa_pem, read):
    from pathlib import Path

    secret = rsa_pem.splitlines()[3]
    for text in (rsa_pem, rsa_pem.replace("\n", " "), rsa_pem.replace("-----BEGIN PRIVATE KEY-----\n", "")):
        with pytest.raises(PrivateKeyError) as caught:
            read(Path(text))
        error: BaseException | None = caught.value
        while error is not None:
            assert secret not in str(error)
            error = error.__cause__
        assert len(str(caught.value).splitlines()) == 1


def test_paths_are_shown_as_they_are_and_keys_are_removed_from_texts(rsa_pem):
    assert show_path("/tmp/a b/key.pem") == "/tmp/a b/key.pem"  # noqa: S108 (not a file that is opened)
    assert redact(f"cannot read {rsa_pem}").startswith("cannot read (a private key, not shown)")
    assert rsa_pem.splitlines()[3] not in redact(f"cannot read {rsa_pem[:-60]}")


def test_key_material_in_place_of_a_key_id_is_not_shown(rsa_pem):
    assert show_path("9c1185a5-4c5e-4b7e-9c1d-6a1f5d0c2b3e") == "9c1185a5-4c5e-4b7e-9c1d-6a1f5d0c2b3e"
    line = rsa_pem.splitlines()[3].replace("/", "x")
    assert line not in show_path(line)
