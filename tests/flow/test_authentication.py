"""Signing in over a real socket: both schemes, and each refusal in its own message."""

import time

import pytest
from cryptography.hazmat.primitives import serialization

from fairline.kalshi import ApiKeyAuth, JwtAuth, Kalshi, Transport
from fairline.kalshi.errors import AuthError
from fairline.sim import Key


@pytest.fixture
def keyed(exchange, rsa_pem, ed25519_pem):
    for name, pem in (("rsa", rsa_pem), ("ed", ed25519_pem)):
        public = serialization.load_pem_private_key(pem.encode(), None).public_key()
        exchange.register(Key(name, public, member_id="member-9", tier="advanced"))
    return exchange


def client(url, auth, bucket):
    return Kalshi(Transport(url, auth=auth, bucket=bucket))


@pytest.mark.parametrize("kind", ["rsa", "ed"])
async def test_a_registered_key_reads_its_balance_and_limits(keyed, rsa_key, ed25519_key, unhurried, kind):
    auth = ApiKeyAuth(kind, {"rsa": rsa_key, "ed": ed25519_key}[kind])
    async with client(keyed.url, auth, unhurried) as kalshi:
        assert (await kalshi.portfolio.balance()).balance == 1_000_000
        limits = await kalshi.account.limits()
        assert (limits.usage_tier, limits.read.refill_rate, limits.read.bucket_capacity) == ("advanced", 300, 900)
        assert (await kalshi.markets.list(limit=5)).rows


async def test_the_articles_token_opens_the_articles_surface_only(keyed, rsa_key, unhurried):
    auth = JwtAuth("member-9", "rsa", rsa_key)
    async with client(keyed.article_url, auth, unhurried) as kalshi:
        assert (await kalshi.member.balance()).balance == 1_000_000
    async with client(keyed.url, auth, unhurried) as kalshi:
        with pytest.raises(AuthError, match="token_authentication_failure"):
            await kalshi.portfolio.balance()


def clock(offset):
    return lambda: time.time() + offset


@pytest.mark.parametrize(
    "make,message",
    [
        (lambda rsa, ed: None, "token_authentication_failure"),
        (lambda rsa, ed: ApiKeyAuth("unknown", rsa), "NOT_FOUND"),
        (lambda rsa, ed: ApiKeyAuth("ed", rsa), "INCORRECT_API_KEY_SIGNATURE"),
        (lambda rsa, ed: ApiKeyAuth("rsa", rsa, clock(-45)), "header_timestamp_expired"),
        (lambda rsa, ed: ApiKeyAuth("rsa", rsa, clock(+45)), "header_timestamp_expired"),
    ],
    ids=["no key", "unknown key", "key of another pair", "clock slow", "clock fast"],
)
async def test_each_refusal_has_the_exchanges_own_code(keyed, rsa_key, ed25519_key, unhurried, make, message):
    async with client(keyed.url, make(rsa_key, ed25519_key), unhurried) as kalshi:
        with pytest.raises(AuthError, match=message) as caught:
            await kalshi.portfolio.balance()
    assert caught.value.remedy


@pytest.mark.parametrize(
    "member,key_id,offset", [("other", "rsa", 0), ("member-9", "nobody", 0), ("member-9", "rsa", -700)]
)
async def test_a_token_of_another_member_an_unknown_key_or_an_expired_one_is_refused(
    keyed, rsa_key, unhurried, member, key_id, offset
):
    auth = JwtAuth(member, key_id, rsa_key, clock(offset))
    async with client(keyed.article_url, auth, unhurried) as kalshi:
        with pytest.raises(AuthError):
            await kalshi.member.balance()
