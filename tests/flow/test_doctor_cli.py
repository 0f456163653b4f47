"""`fairline doctor` and `fairline key` as people run them."""

import json
import logging
import time

import keyring
import pytest
from cryptography.hazmat.primitives import serialization
from keyring.backend import KeyringBackend

from fairline.kalshi.convention import sign_with_mistake
from fairline.sim import Exchange, Fault, Key
from tests.flow.test_cli import fairline, one_line

__all__ = ["fairline"]


class MemoryKeyring(KeyringBackend):
    """A keyring that forgets, so that no test touches the machine's."""

    priority = 1

    def __init__(self):
        super().__init__()
        self.stored = {}

    def get_password(self, service, username):
        return self.stored.get((service, username))

    def set_password(self, service, username, password):
        self.stored[service, username] = password

    def delete_password(self, service, username):
        del self.stored[service, username]


@pytest.fixture
def ring():
    before = keyring.get_keyring()
    keyring.set_keyring(MemoryKeyring())
    yield keyring.get_keyring()
    keyring.set_keyring(before)


@pytest.fixture
def place(rsa_pem, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "key.pem").write_text(rsa_pem)
    (tmp_path / "key.pem").chmod(0o600)
    public = serialization.load_pem_private_key(rsa_pem.encode(), None).public_key()
    with Exchange(markets=20, keys=[Key("good", public)]) as exchange:
        yield exchange


def test_health_is_exit_code_0_and_json_has_cause_and_checks(fairline, place):
    done = fairline("doctor", "--exchange", place.url, "--key-id", "good", "--key-file", "key.pem", "--json")
    assert done.returncode == 0, done.stderr
    got = json.loads(done.stdout)
    assert list(got) == ["cause", "checks"]
    assert got["cause"] is None
    assert all(list(check) == ["name", "status", "evidence", "remedy"] for check in got["checks"])


def test_a_fault_is_exit_code_1_with_its_cause_evidence_and_remedy(fairline, place):
    done = fairline("doctor", "--exchange", place.url, "--key-id", "nobody", "--key-file", "key.pem")
    assert done.returncode == 1
    assert "fail    signed request" in done.stdout
    assert "NOT_FOUND" in done.stdout
    assert "Cause: unknown_key." in done.stdout
    assert "→ Check the key id" in done.stdout


def test_a_key_that_worked_and_was_revoked_is_named_revoked(fairline, place):
    ask = ("doctor", "--exchange", place.url, "--key-id", "good", "--key-file", "key.pem", "--json")
    assert fairline(*ask).returncode == 0
    key = place.backend.keys.keys["good"]
    place.register(Key("good", key.public, revoked=True))
    assert json.loads(fairline(*ask).stdout)["cause"] == "revoked_key"


def test_the_other_environment_can_be_named(fairline, place):
    with Exchange(markets=5) as elsewhere:
        ask = ("doctor", "--exchange", elsewhere.url, "--other-exchange", place.url)
        got = json.loads(fairline(*ask, "--key-id", "good", "--key-file", "key.pem", "--json").stdout)
    assert got["cause"] == "other_environment"


def test_an_unreadable_key_is_a_cause_not_a_crash(fairline, place, tmp_path):
    (tmp_path / "bad.pem").write_text("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
    done = fairline("doctor", "--exchange", place.url, "--key-id", "good", "--key-file", "bad.pem", "--json")
    got = json.loads(done.stdout)
    assert (done.returncode, got["cause"]) == (1, "key_unreadable")
    assert "public key" in next(c for c in got["checks"] if c["name"] == "key")["evidence"]


def test_a_key_file_that_others_can_read_is_warned_about(fairline, place, tmp_path):
    (tmp_path / "key.pem").chmod(0o644)
    done = fairline("doctor", "--exchange", place.url, "--key-id", "good", "--key-file", "key.pem")
    assert done.returncode == 0
    assert "chmod 600" in done.stdout


def test_another_programs_request_is_examined_from_a_file_or_from_flags(fairline, place, rsa_key, tmp_path):
    path = "/trade-api/v2/portfolio/balance?subaccount=0"
    sent = sign_with_mistake(rsa_key, int(time.time() * 1000), "GET", path, "query_signed")
    lines = [
        f"> GET {path} HTTP/1.1",
        "> Host: h",
        "> KALSHI-ACCESS-KEY: good",
        *(f"> {k}: {v}" for k, v in sent.items()),
    ]
    (tmp_path / "sent.txt").write_text("\n".join(lines))
    keyed = ("doctor", "--key-id", "good", "--key-file", "key.pem", "--json")
    assert json.loads(fairline(*keyed, "--headers", "sent.txt").stdout)["cause"] == "query_signed"
    stamp, signature = sent["KALSHI-ACCESS-TIMESTAMP"], sent["KALSHI-ACCESS-SIGNATURE"]
    by_flags = fairline(*keyed, "--path", path, "--timestamp", stamp, "--signature", signature)
    assert json.loads(by_flags.stdout)["cause"] == "query_signed"
    assert by_flags.returncode == 1
    one_line(fairline("doctor", "--headers", "sent.txt"), 2, "checking a signature needs its key")
    one_line(fairline(*keyed, "--path", path), 2, "Give all three")
    one_line(fairline(*keyed, "--headers", "gone.txt"), 2, "cannot read gone.txt")


def test_a_key_is_imported_listed_used_and_removed(fairline, place, ring):
    done = fairline("key", "import", "--key-id", "good", "--key-file", "key.pem", "--name", "mine")
    assert "--key-file keyring:mine" in done.stdout, done.stderr
    assert "key.pem still exists" in done.stderr
    (listed,) = json.loads(fairline("key", "list", "--json").stdout)
    assert (listed["name"], listed["key_id"], listed["kind"]) == ("mine", "good", "RSA-2048")
    assert "mine  good  RSA-2048" in fairline("key", "list").stdout
    balance = fairline("balance", "--exchange", place.url, "--key-file", "keyring:mine")
    assert "$10,000.00" in balance.stdout, "the keyring knows the key id too"
    assert fairline("key", "remove", "mine").stdout == "Removed mine\n"
    one_line(
        fairline("balance", "--exchange", place.url, "--key-file", "keyring:mine"), 2, "no key 'mine'", "key import"
    )
    one_line(fairline("key", "remove", "mine"), 2, "no key 'mine'")


def test_an_encrypted_key_goes_into_the_keyring_with_its_passphrase(fairline, place, ring, rsa_pem, tmp_path):
    key = serialization.load_pem_private_key(rsa_pem.encode(), None)
    sealed = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"open sesame"),
    )
    (tmp_path / "sealed.pem").write_bytes(sealed)
    importing = ("key", "import", "--key-id", "good", "--key-file", "sealed.pem")
    one_line(fairline(*importing), 1, "protected by a passphrase")
    assert fairline(*importing, environ={"KALSHI_PRIVATE_KEY_PASSPHRASE": "open sesame"}).returncode == 0
    assert "$10,000.00" in fairline("balance", "--exchange", place.url, "--key-file", "keyring:good").stdout


def test_a_damaged_entry_of_the_keyring_is_named_and_can_be_removed(fairline, place, ring):
    ring.set_password("fairline", "mine", "{not json")
    ring.set_password("fairline", "(index)", "[1]")
    use = ("--exchange", place.url, "--key-id", "good", "--key-file", "keyring:mine")
    one_line(fairline("balance", *use), 2, "entry 'mine' is damaged")
    got = json.loads(fairline("doctor", *use, "--json").stdout)
    assert got["cause"] == "key_unreadable", "the doctor reports it instead of giving up"
    assert fairline("key", "remove", "mine").returncode == 0


def test_a_key_that_worked_for_a_balance_is_remembered(fairline, place):
    ask = ("--exchange", place.url, "--key-id", "good", "--key-file", "key.pem")
    assert fairline("balance", *ask).returncode == 0
    place.register(Key("good", place.backend.keys.keys["good"].public, revoked=True))
    assert json.loads(fairline("doctor", *ask, "--json").stdout)["cause"] == "revoked_key"


def test_a_machine_without_a_keyring_says_so_in_one_line(fairline, place):
    from keyring.backends.fail import Keyring

    before = keyring.get_keyring()
    keyring.set_keyring(Keyring())
    try:
        one_line(fairline("key", "list"), 2, "keyring cannot be used", "--key-file PATH")
    finally:
        keyring.set_keyring(before)


def test_a_key_from_standard_input(fairline, place, rsa_pem, monkeypatch):
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO(rsa_pem))
    done = fairline("balance", "--exchange", place.url, "--key-id", "good", "--key-file", "-")
    assert "$10,000.00" in done.stdout


def test_secrets_reach_no_output_no_log_and_no_error(fairline, place, rsa_pem, rsa_key, caplog):
    caplog.set_level(logging.DEBUG)
    keyed = ("--exchange", place.url, "--key-file", "key.pem", "--key-id")
    shown = ""
    for fault in (None, "strip-headers", "clock-ahead", "500", "captive-page"):
        place.faults.set(*([Fault(fault, 1.0, 3)] if fault else []))
        for command in ("doctor", "balance", "markets"):
            for key_id in ("good", "nobody"):
                done = fairline(command, *keyed, key_id)
                shown += done.stdout + done.stderr
    shown += caplog.text
    secret_lines = rsa_pem.splitlines()[1:-1]
    assert len(shown) > 5_000
    assert not [line for line in secret_lines if line in shown]
    assert "BEGIN" not in shown
    # A 2048-bit signature is 344 characters of base64; nothing of that sort may be shown.
    import re

    assert not re.findall(r"[A-Za-z0-9+/]{100,}", shown)
    assert "Bearer" not in shown


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("clock-ahead", "clock_slow"),
        ("clock-behind", "clock_fast"),
        ("strip-headers", "headers_stripped"),
        ("captive-page", "html_instead_of_json"),
        ("502-html", "html_instead_of_json"),
        ("redirect", "redirected"),
        ("moved", "host_retired"),
        ("paused", "exchange_paused"),
        ("429", "rate_limited"),
        ("revoked-key", "revoked_key"),
        ("no-scope", "scope_missing"),
        ("pinned-subaccount", "subaccount_pinned"),
    ],
)
def test_each_fault_of_the_simulator_is_named_at_the_command_line(fairline, place, fault, expected):
    ask = ("doctor", "--exchange", place.url, "--key-id", "good", "--key-file", "key.pem", "--json")
    assert fairline(*ask).returncode == 0
    place.faults.set(Fault.parse(fault))
    done = fairline(*ask, *(["--subaccount", "2"] if fault == "pinned-subaccount" else []))
    assert (done.returncode, json.loads(done.stdout)["cause"]) == (1, expected)


def test_an_expired_token_looks_refused_unless_the_clock_explains_it(fairline, place):
    place.faults.set(Fault("expired-token"))
    ask = ("doctor", "--exchange", place.article_url, "--auth", "jwt", "--member-id", "member-1", "--json")
    done = fairline(*ask, "--key-id", "good", "--key-file", "key.pem")
    assert json.loads(done.stdout)["cause"] == "bearer_refused"
