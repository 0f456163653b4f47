import base64

import jwt
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

from fairline.kalshi.auth import ApiKeyAuth, JwtAuth
from fairline.kalshi.errors import PrivateKeyError

NOW = 1_703_123_456.789
PATH = "/trade-api/v2/portfolio/balance"


def public_of(pem: str):
    return serialization.load_pem_private_key(pem.encode(), None).public_key()


def sign(auth: ApiKeyAuth, path: str = PATH, method: str = "get") -> tuple[bytes, dict[str, str]]:
    headers = auth.headers(method, path)
    return base64.b64decode(headers["KALSHI-ACCESS-SIGNATURE"]), headers


def test_the_message_is_milliseconds_method_and_path_without_query(rsa_pem, rsa_key):
    signature, headers = sign(ApiKeyAuth("id-1", rsa_key, clock=lambda: NOW), PATH + "?limit=5")
    assert headers["KALSHI-ACCESS-KEY"] == "id-1"
    assert headers["KALSHI-ACCESS-TIMESTAMP"] == "1703123456789"
    message = b"1703123456789GET/trade-api/v2/portfolio/balance"
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), salt_length=32)
    public_of(rsa_pem).verify(signature, message, pss, hashes.SHA256())
    with pytest.raises(InvalidSignature):
        public_of(rsa_pem).verify(signature, message + b"?limit=5", pss, hashes.SHA256())


def test_an_ed25519_key_signs_the_same_bytes_directly(ed25519_pem, ed25519_key):
    signature, _ = sign(ApiKeyAuth("id-1", ed25519_key, clock=lambda: NOW))
    public_of(ed25519_pem).verify(signature, b"1703123456789GET/trade-api/v2/portfolio/balance")


def test_each_attempt_is_signed_again(rsa_key):
    times = iter([1.0, 2.0])
    auth = ApiKeyAuth("id-1", rsa_key, clock=lambda: next(times))
    assert auth.headers("GET", PATH)["KALSHI-ACCESS-TIMESTAMP"] == "1000"
    assert auth.headers("GET", PATH)["KALSHI-ACCESS-TIMESTAMP"] == "2000"


def test_the_token_is_ps256_with_the_articles_claims(rsa_pem, rsa_key):
    auth = JwtAuth("member-9", "key-9", rsa_key)
    token = auth.headers("GET", "/v1/markets")["Authorization"].removeprefix("Bearer ")
    assert jwt.get_unverified_header(token)["alg"] == "PS256"
    claims = jwt.decode(token, public_of(rsa_pem), algorithms=["PS256"])
    assert (claims["member_id"], claims["kid"]) == ("member-9", "key-9")
    assert claims["exp"] - claims["iat"] == 600
    assert claims["jti"]


def test_the_token_is_kept_until_30_seconds_before_it_expires(rsa_key):
    now = [1_000.0]
    auth = JwtAuth("m", "k", rsa_key, clock=lambda: now[0])
    first = auth.headers("GET", "/")
    now[0] += 569
    assert auth.headers("GET", "/") == first
    now[0] += 1
    assert auth.headers("GET", "/") != first


def test_an_ed25519_key_cannot_make_a_ps256_token(ed25519_key):
    with pytest.raises(PrivateKeyError, match="needs an RSA key"):
        JwtAuth("m", "k", ed25519_key)


def test_no_repr_shows_a_secret(rsa_key):
    jwt_auth = JwtAuth("m", "k", rsa_key)
    token = jwt_auth.headers("GET", "/")["Authorization"].split()[1]
    assert token not in repr(jwt_auth)
    assert "RSA-2048" in repr(ApiKeyAuth("id", rsa_key))
