import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from fairline.kalshi.errors import PrivateKeyError
from fairline.kalshi.keys import parse_private_key, read_private_key, readable_by_others

PRIVATE = serialization.PrivateFormat
PEM = serialization.Encoding.PEM
PLAIN = serialization.NoEncryption()


@pytest.mark.parametrize(
    "breakage",
    [
        pytest.param(lambda pem: pem, id="as issued"),
        pytest.param(lambda pem: pem.replace("\n", "\\n"), id="literal backslash n"),
        pytest.param(lambda pem: pem.replace("\n", ""), id="one line without breaks"),
        pytest.param(lambda pem: pem.replace("\n", " "), id="one line with spaces"),
        pytest.param(lambda pem: pem.replace("\n", "\r\n"), id="CRLF"),
        pytest.param(lambda pem: "\ufeff" + pem, id="byte-order mark"),
        pytest.param(lambda pem: f'"{pem}"', id="quoted"),
        pytest.param(lambda pem: "\n".join("   " + line + "  " for line in pem.splitlines()), id="indented"),
        pytest.param(lambda pem: pem.encode(), id="bytes"),
        pytest.param(lambda pem: "some note\n" + pem + "\nmore", id="text around it"),
    ],
)
def test_a_key_loads_however_it_was_pasted(rsa_pem, ed25519_pem, breakage):
    assert parse_private_key(breakage(rsa_pem)).kind == "RSA-2048"
    assert parse_private_key(breakage(ed25519_pem)).kind == "Ed25519"


def test_pkcs1_loads_and_has_the_same_fingerprint(rsa_pem):
    key = serialization.load_pem_private_key(rsa_pem.encode(), None)
    pkcs1 = key.private_bytes(PEM, PRIVATE.TraditionalOpenSSL, PLAIN)
    assert b"BEGIN RSA PRIVATE KEY" in pkcs1
    assert parse_private_key(pkcs1).fingerprint == parse_private_key(rsa_pem).fingerprint


@pytest.mark.parametrize("form", [PRIVATE.PKCS8, PRIVATE.TraditionalOpenSSL])
def test_an_encrypted_key_needs_its_passphrase(rsa_pem, form):
    key = serialization.load_pem_private_key(rsa_pem.encode(), None)
    sealed = key.private_bytes(PEM, form, serialization.BestAvailableEncryption(b"open sesame"))
    assert parse_private_key(sealed, "open sesame").kind == "RSA-2048"
    with pytest.raises(PrivateKeyError, match="protected by a passphrase"):
        parse_private_key(sealed)
    with pytest.raises(PrivateKeyError, match="passphrase does not open"):
        parse_private_key(sealed, "wrong")


@pytest.mark.parametrize(
    "breakage",
    [
        pytest.param(lambda pem: pem.replace("\n", "\r\n"), id="CRLF"),
        pytest.param(lambda pem: pem.replace("\n", " "), id="one line"),
        pytest.param(lambda pem: "\n".join("  " + line for line in pem.splitlines()), id="indented"),
        pytest.param(lambda pem: pem.replace("\n", "\\n"), id="literal backslash n"),
    ],
)
def test_an_old_encrypted_key_keeps_its_headers_however_it_was_pasted(rsa_pem, breakage):
    key = serialization.load_pem_private_key(rsa_pem.encode(), None)
    sealed = key.private_bytes(PEM, PRIVATE.TraditionalOpenSSL, serialization.BestAvailableEncryption(b"open sesame"))
    assert b"DEK-Info" in sealed
    assert parse_private_key(breakage(sealed.decode()), "open sesame").kind == "RSA-2048"


def test_doubly_escaped_lines_and_bytes_that_are_not_text(rsa_pem):
    assert parse_private_key(rsa_pem.replace("\n", "\\\\n")).kind == "RSA-2048"
    with pytest.raises(PrivateKeyError, match="not text"):
        parse_private_key(rsa_pem + "\udcff")


def test_a_passphrase_for_a_plain_key_is_ignored(rsa_pem):
    assert parse_private_key(rsa_pem, "not needed").kind == "RSA-2048"


def certificate() -> bytes:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    return builder.sign(key, hashes.SHA256()).public_bytes(PEM)


def wrong_keys() -> dict[str, tuple[bytes, str]]:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    curve = ec.generate_private_key(ec.SECP256R1())
    public = private.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    whole = private.private_bytes(PEM, PRIVATE.PKCS8, PLAIN)
    damaged = whole.replace(whole[200:240], b"A" * 40)
    return {
        "public": (public, "public key"),
        "certificate": (certificate(), "certificate"),
        "openssh": (private.private_bytes(PEM, PRIVATE.OpenSSH, PLAIN), "OpenSSH"),
        "ec sec1": (curve.private_bytes(PEM, PRIVATE.TraditionalOpenSSL, PLAIN), "EC"),
        "ec pkcs8": (curve.private_bytes(PEM, PRIVATE.PKCS8, PLAIN), "RSA or Ed25519"),
        "empty": (b"  \n", "empty"),
        "truncated": (whole[:600], "END line is missing"),
        "damaged": (damaged, "damaged"),
        "der": (private.private_bytes(serialization.Encoding.DER, PRIVATE.PKCS8, PLAIN), "DER"),
        "text": (b"hello", "BEGIN"),
        "binary": (b"\xff\xfe\x00", "not text"),
    }


@pytest.mark.parametrize("name", ["public", "certificate", "openssh", "ec sec1", "ec pkcs8", "empty", "truncated",
                                  "damaged", "der", "text", "binary"])  # fmt: skip
def test_each_unusable_key_has_its_own_message(name):
    content, sentence = wrong_keys()[name]
    with pytest.raises(PrivateKeyError, match=sentence) as caught:
        parse_private_key(content)
    assert caught.value.remedy
    assert len(str(caught.value).splitlines()) == 1


def test_file_faults_name_the_file(tmp_path: Path, rsa_pem):
    with pytest.raises(PrivateKeyError, match=r"gone\.pem does not exist"):
        read_private_key(tmp_path / "gone.pem")
    with pytest.raises(PrivateKeyError, match="is a folder"):
        read_private_key(tmp_path)
    (tmp_path / "bad.pem").write_text("nonsense")
    with pytest.raises(PrivateKeyError, match=r"bad\.pem"):
        read_private_key(tmp_path / "bad.pem")
    path = tmp_path / "key.pem"
    path.write_text(rsa_pem)
    path.chmod(0o644)
    assert readable_by_others(path)
    path.chmod(0o600)
    assert not readable_by_others(path)
    assert read_private_key(path).kind == "RSA-2048"


def test_neither_repr_nor_errors_show_key_material(rsa_pem, rsa_key):
    secret = rsa_pem.splitlines()[3]
    assert secret not in repr(rsa_key)
    with pytest.raises(PrivateKeyError) as caught:
        parse_private_key(rsa_pem[:-40])
    assert secret not in str(caught.value)
    assert secret not in repr(caught.value)
