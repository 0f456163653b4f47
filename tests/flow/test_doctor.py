"""Each way in which a set-up fails, and the cause that the doctor names first."""

import asyncio
import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives import serialization

from fairline.kalshi import ApiKeyAuth, JwtAuth, Kalshi, Transport, parse_private_key
from fairline.kalshi.convention import SentRequest, parse_sent, sign_with_mistake
from fairline.kalshi.diagnosis import diagnose_sent
from fairline.kalshi.doctor import Doctor
from fairline.kalshi.errors import AuthError, KalshiError
from fairline.kalshi.experiments import Setup
from fairline.kalshi.remedies import REMEDIES
from fairline.sim import Exchange, Fault, Key

BALANCE = "/trade-api/v2/portfolio/balance"


def public(pem: str):
    return serialization.load_pem_private_key(pem.encode(), None).public_key()


@pytest.fixture
def place(rsa_pem):
    """A small exchange of its own, with one read-only key, so that faults and keys can be changed at will."""
    with Exchange(markets=30, seed=1, keys=[Key("good", public(rsa_pem), tier="basic")]) as exchange:
        yield exchange


def setup_of(exchange, key, **more):
    values = {"url": exchange.url, "websocket_url": exchange.websocket_url, "key_id": "good", "load_key": lambda: key}
    return Setup(**(values | more))


async def examine(subject, **more):
    async def no_sleep(_):
        await asyncio.sleep(0)

    return await Doctor(subject, sleep=no_sleep, **more).examine()


async def find_cause(subject, **more):
    diagnosis = await examine(subject, **more)
    (failed,) = [check for check in diagnosis.checks if check.status == "fail"]
    assert failed.evidence
    assert failed.remedy
    return diagnosis.cause


def shift_clock(seconds):
    return lambda: time.time() + seconds


async def test_a_healthy_set_up_passes_every_check(place, rsa_key):
    diagnosis = await examine(setup_of(place, rsa_key))
    assert diagnosis.cause is None
    assert [(check.name, check.status) for check in diagnosis.checks] == [
        ("host", "pass"), ("exchange", "pass"), ("key", "pass"), ("clock", "pass"), ("signed request", "pass"),
        ("limits", "pass"), ("scopes", "pass"), ("websocket", "pass"),
    ]  # fmt: skip
    evidence = {check.name: check.evidence for check in diagnosis.checks}
    assert "RSA-2048" in evidence["key"]
    assert rsa_key.fingerprint in evidence["key"]
    assert "200 tokens per second, 600 at most; a request costs 10" in evidence["limits"]
    assert evidence["scopes"] == "read"


async def test_an_ed25519_key_is_as_healthy(place, ed25519_pem, ed25519_key):
    place.register(Key("good", public(ed25519_pem)))
    assert (await examine(setup_of(place, ed25519_key))).cause is None


async def test_a_key_that_may_trade_is_warned_about_and_healthy(place, rsa_pem, rsa_key):
    place.register(Key("good", public(rsa_pem), scopes=("read", "write")))
    diagnosis = await examine(setup_of(place, rsa_key))
    assert diagnosis.cause is None
    assert [c.remedy for c in diagnosis.checks if c.status == "warn"] == [
        "This key may trade. A scanner needs read only: create a key without write"
    ]


async def test_without_a_key_the_public_half_is_examined(place, rsa_key):
    diagnosis = await examine(setup_of(place, rsa_key, key_id="", load_key=None))
    assert diagnosis.cause is None
    assert [c.name for c in diagnosis.checks if c.status == "skipped"] == [
        "key", "signed request", "limits", "scopes", "websocket",
    ]  # fmt: skip


async def test_unknown_key(place, rsa_key):
    assert await find_cause(setup_of(place, rsa_key, key_id="nobody")) == "unknown_key"


async def test_key_of_the_other_environment(place, rsa_pem, rsa_key):
    with Exchange(markets=5, keys=[Key("theirs", public(rsa_pem))]) as other:
        assert await find_cause(setup_of(place, rsa_key, key_id="theirs", other_url=other.url)) == "other_environment"


async def test_a_revoked_key_differs_from_an_unknown_one_by_having_worked(place, rsa_pem, rsa_key):
    place.register(Key("good", public(rsa_pem), revoked=True))
    assert await find_cause(setup_of(place, rsa_key, known=True)) == "revoked_key"
    assert await find_cause(setup_of(place, rsa_key)) == "unknown_key"


async def test_private_key_of_a_different_key_id(place, ed25519_key):
    before = place.backend.requests
    assert await find_cause(setup_of(place, ed25519_key)) == "wrong_private_key"
    assert place.backend.requests - before <= 10, "the experiments are few"


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("clock-ahead", "clock_slow"),
        ("clock-behind", "clock_fast"),
        ("strip-headers", "headers_stripped"),
        ("captive-page", "html_instead_of_json"),
        ("502-html", "html_instead_of_json"),
        ("redirect", "redirected"),
        ("paused", "exchange_paused"),
        ("429", "rate_limited"),
    ],
)
async def test_proxies_and_wrong_hosts(place, rsa_key, fault, expected):
    place.faults.set(Fault(fault))
    assert await find_cause(setup_of(place, rsa_key)) == expected


@pytest.mark.parametrize(("offset", "expected"), [(-45, "clock_slow"), (45, "clock_fast")])
async def test_this_machines_clock_is_off(place, rsa_key, offset, expected):
    diagnosis = await examine(setup_of(place, rsa_key), clock=shift_clock(offset))
    assert diagnosis.cause == expected
    clock = next(check for check in diagnosis.checks if check.name == "clock")
    seconds = float(clock.evidence.split("clock is ")[1].split(" s ")[0])
    assert abs(seconds - 45) <= 1.5


async def test_a_small_skew_is_a_warning(place, rsa_key):
    diagnosis = await examine(setup_of(place, rsa_key), clock=shift_clock(-9))
    assert diagnosis.cause is None
    assert next(check for check in diagnosis.checks if check.name == "clock").status == "warn"


async def test_scope_missing(place, rsa_pem, rsa_key):
    place.register(Key("good", public(rsa_pem), scopes=("write::trade",)))
    assert await find_cause(setup_of(place, rsa_key)) == "scope_missing"


async def test_key_pinned_to_another_subaccount(place, rsa_pem, rsa_key):
    place.register(Key("good", public(rsa_pem), subaccount=3))
    assert await find_cause(setup_of(place, rsa_key, subaccount=5)) == "subaccount_pinned"
    assert (await examine(setup_of(place, rsa_key, subaccount=3))).cause is None
    assert (await examine(setup_of(place, rsa_key))).cause is None


async def test_tls(rsa_key):
    with Exchange(markets=5, faults=[Fault("tls")]) as exchange:
        assert exchange.url.startswith("https://")
        assert await find_cause(setup_of(exchange, rsa_key)) == "tls"


async def test_a_name_that_does_not_resolve(place, rsa_key, monkeypatch):
    import socket

    async def no_such_name(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", no_such_name)
    assert await find_cause(setup_of(place, rsa_key, url="https://kalshi.invalid/trade-api/v2")) == "name_not_resolved"


async def test_unreachable_host(place, rsa_key):
    assert await find_cause(setup_of(place, rsa_key, url="http://127.0.0.1:9/trade-api/v2")) == "unreachable"


async def test_key_unreadable(place, rsa_key):
    diagnosis = await examine(setup_of(place, rsa_key, load_key=lambda: parse_private_key("nonsense")))
    assert diagnosis.cause == "key_unreadable"
    assert next(c for c in diagnosis.checks if c.name == "clock").status == "pass", "the clock needs no key"


async def test_the_articles_token_where_it_is_refused_where_it_has_expired_and_where_it_works(place, rsa_key):
    token = {"scheme": "jwt", "member_id": "member-1"}
    assert await find_cause(setup_of(place, rsa_key, **token)) == "bearer_refused"
    at_article = {**token, "url": place.article_url}
    assert (await examine(setup_of(place, rsa_key, **at_article))).cause is None
    assert await find_cause(setup_of(place, rsa_key, **at_article), clock=shift_clock(-700)) == "expired_token"
    assert "set auth to api-key" in REMEDIES["bearer_refused"]


async def test_the_retired_hosts_notice_is_recognised(place, rsa_key):
    place.faults.set(Fault("moved"))
    diagnosis = await examine(setup_of(place, rsa_key, scheme="jwt", member_id="member-1"))
    assert diagnosis.cause == "bearer_refused"
    assert any("has been moved" in check.evidence for check in diagnosis.checks)


MISTAKES = ["pkcs1v15", "max_salt", "query_signed", "prefix_missing", "method_case", "seconds_timestamp"]


def sent_with(key, mistake, path=f"{BALANCE}?subaccount=0"):
    stamp = int(time.time() * 1000)
    return SentRequest("GET", path, sign_with_mistake(key, stamp, "GET", path, mistake))


@pytest.mark.parametrize("mistake", MISTAKES)
def test_another_programs_mistake_is_recognised_from_its_signature(rsa_key, mistake):
    diagnosis = diagnose_sent(sent_with(rsa_key, mistake), rsa_key, time.time())
    assert diagnosis.cause == mistake
    assert diagnosis.checks[0].remedy.startswith(REMEDIES[mistake])


@pytest.mark.parametrize("mistake", MISTAKES[2:])
def test_another_programs_mistake_with_ed25519(ed25519_key, mistake):
    assert diagnose_sent(sent_with(ed25519_key, mistake), ed25519_key, time.time()).cause == mistake


def test_a_correct_signature_a_different_key_and_several_mistakes_at_once(rsa_key, ed25519_key):
    right = SentRequest("GET", BALANCE, ApiKeyAuth("x", rsa_key).headers("GET", BALANCE))
    assert diagnose_sent(right, rsa_key, time.time()).cause is None
    assert diagnose_sent(right, ed25519_key, time.time()).cause == "wrong_private_key"
    stamp = str(int(time.time()))
    short = "/portfolio/balance"
    both = sign_with_mistake(rsa_key, int(stamp) * 1000, "GET", short, "seconds_timestamp")
    diagnosis = diagnose_sent(SentRequest("GET", BALANCE, both), rsa_key, time.time())
    assert diagnosis.cause == "prefix_missing"
    assert "seconds" in diagnosis.checks[0].evidence


@pytest.mark.parametrize(
    ("algorithm", "expires_in", "expected", "evidence"),
    [
        ("RS256", 600, "bearer_refused", "RS256"),
        ("PS256", -60, "expired_token", "expired 60 s ago"),
        ("PS256", 600, "bearer_refused", "does not accept tokens that a client signs"),
    ],
)
def test_another_programs_token_is_read_too(rsa_pem, rsa_key, algorithm, expires_in, expected, evidence):
    now = 1_700_000_000
    token = jwt.encode({"exp": now + expires_in}, rsa_pem, algorithm=algorithm)
    request = parse_sent(f"> GET /v1/member/balance HTTP/1.1\n> Host: x\n> Authorization: Bearer {token}\n")
    diagnosis = diagnose_sent(request, rsa_key, now)
    assert diagnosis.cause == expected
    assert evidence in diagnosis.checks[0].evidence
    assert token not in json.dumps(diagnosis.checks[0].evidence)


@pytest.mark.parametrize("text", ["", "Host: x", "GET /x HTTP/1.1\nHost: x", "hello"])
def test_headers_without_a_signature_are_refused_in_one_line(text):
    with pytest.raises(KalshiError, match="the headers have"):
        parse_sent(text)


async def test_a_401_causes_one_clock_measurement_and_one_new_signature(place, rsa_key, unhurried):
    async with Kalshi(Transport(place.url, auth=ApiKeyAuth("nobody", rsa_key), bucket=unhurried)) as kalshi:
        before = place.backend.requests
        with pytest.raises(AuthError, match="NOT_FOUND"):
            await kalshi.portfolio.balance()
        assert place.backend.requests - before == 3, "the request, the clock, the request again"


async def test_the_error_includes_the_measured_clock_difference(place, rsa_key, unhurried):
    place.faults.set(Fault("clock-ahead"))
    async with Kalshi(Transport(place.url, auth=ApiKeyAuth("good", rsa_key), bucket=unhurried)) as kalshi:
        with pytest.raises(AuthError) as caught:
            await kalshi.portfolio.balance()
    assert "Measured: this machine's clock is 4" in str(caught.value)
    assert "behind" in caught.value.diagnosis


async def test_a_large_skew_is_compensated_only_if_configured_and_is_reported(place, rsa_key, unhurried):
    place.faults.set(Fault("clock-ahead"))
    messages = []
    auth = ApiKeyAuth("good", rsa_key)
    transport = Transport(place.url, auth=auth, bucket=unhurried, use_server_time=True, notify=messages.append)
    async with Kalshi(transport) as kalshi:
        assert (await kalshi.portfolio.balance()).balance == 1_000_000
        assert (await kalshi.portfolio.balance()).balance == 1_000_000
    assert len(messages) == 1
    assert "signing with the exchange's time" in messages[0]


async def test_a_refused_token_is_renewed_once(place, rsa_key, unhurried):
    auth = JwtAuth("member-1", "good", rsa_key)
    first = auth.headers("GET", "/")
    auth.renew()
    assert auth.headers("GET", "/") != first


async def test_an_address_that_is_not_the_trade_api_is_not_healthy(place, rsa_key):
    assert await find_cause(setup_of(place, rsa_key, url=place.root)) == "not_the_exchange"
    assert await find_cause(setup_of(place, rsa_key, url=place.root, key_id="", load_key=None)) == "not_the_exchange"
    place.faults.set(Fault("moved"))
    assert await find_cause(setup_of(place, rsa_key)) == "host_retired"


async def test_a_throttled_experiment_proves_nothing(place, ed25519_key, monkeypatch):
    monkeypatch.setattr(place.faults, "strikes", lambda name: name == "429" and place.backend.requests > 4)
    assert await find_cause(setup_of(place, ed25519_key)) == "rate_limited"


async def test_a_key_known_elsewhere_belongs_to_the_other_environment(place, rsa_key, ed25519_pem):
    with Exchange(markets=5, keys=[Key("theirs", public(ed25519_pem))]) as other:
        assert await find_cause(setup_of(place, rsa_key, key_id="theirs", other_url=other.url)) == "other_environment"


async def test_with_use_server_time_a_wrong_clock_is_a_warning(place, rsa_key):
    diagnosis = await examine(setup_of(place, rsa_key, use_server_time=True), clock=shift_clock(-45))
    assert diagnosis.cause is None
    assert "signing with the exchange's time" in next(c for c in diagnosis.checks if c.name == "clock").evidence


async def test_parallel_refusals_share_one_renewal(place, rsa_key, unhurried):
    async with Kalshi(Transport(place.url, auth=ApiKeyAuth("nobody", rsa_key), bucket=unhurried)) as kalshi:
        before = place.backend.requests
        done = await asyncio.gather(*(kalshi.portfolio.balance() for _ in range(8)), return_exceptions=True)
    assert all(isinstance(error, AuthError) for error in done)
    assert place.backend.requests - before == 8 + 1 + 8


async def test_a_refused_handshake_hides_its_signature_even_in_the_causes(place, rsa_key):
    transport = Transport(place.url, auth=ApiKeyAuth("nobody", rsa_key))
    with pytest.raises(AuthError) as caught:
        await transport.handshake(place.websocket_url, "/trade-api/ws/v2")
    error, shown = caught.value, ""
    while error is not None:
        shown += repr(error) + str(error)
        error = error.__cause__ or error.__context__
    assert "SIGNATURE" not in shown
    await transport.close()


CURL = """*   Trying 127.0.0.1:80...
* Connected to h (127.0.0.1) port 80
* [HTTP/2] [1] [:method: GET]
> GET {path} HTTP/1.1
> Host: h
> KALSHI-ACCESS-KEY: good
{headers}
< HTTP/1.1 401 Unauthorized
{{"error":{{"code":"x"}}}}
"""
HTTP2 = ":method: GET\n:path: {path}\n:scheme: https\nkalshi-access-key: good\n{headers}"
ABSOLUTE = "GET https://host{path} HTTP/1.1\nKALSHI-ACCESS-KEY: good\n{headers}"


@pytest.mark.parametrize("form", [CURL, HTTP2, ABSOLUTE])
def test_requests_are_parsed_as_programs_print_them(rsa_key, form):
    sent = sign_with_mistake(rsa_key, int(time.time() * 1000), "GET", BALANCE, "pkcs1v15")
    text = form.format(path=BALANCE, headers="\n".join(f"{name}: {value}" for name, value in sent.items()))
    assert diagnose_sent(parse_sent(text), rsa_key, time.time(), "good").cause == "pkcs1v15"


def test_the_debug_line_of_pythons_http_client_is_parsed(rsa_key):
    sent = sign_with_mistake(rsa_key, int(time.time() * 1000), "GET", BALANCE, "max_salt")
    text = "send: " + repr(
        f"GET {BALANCE} HTTP/1.1\r\n".encode() + "".join(f"{k}: {v}\r\n" for k, v in sent.items()).encode()
    )
    assert diagnose_sent(parse_sent(text), rsa_key, time.time()).cause == "max_salt"


def right(key, path=BALANCE, offset=0.0, **headers):
    signed = ApiKeyAuth("good", key, shift_clock(offset)).headers("GET", path) | headers
    return SentRequest("GET", path, {name: value for name, value in signed.items() if value})


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda key: right(key, offset=300), "clock_fast"),
        (lambda key: right(key, BALANCE + "/"), "redirected"),
        (lambda key: right(key, **{"KALSHI-ACCESS-KEY": ""}), "headers_stripped"),
        (lambda key: right(key, **{"KALSHI-ACCESS-KEY": "another"}), "unknown_key"),
        (lambda key: right(key, **{"KALSHI-ACCESS-TIMESTAMP": ""}), "headers_stripped"),
        (lambda key: right(key, "/portfolio/balance"), "prefix_missing"),
        (lambda key: right(key, **{"KALSHI-ACCESS-SIGNATURE": "täuschung"}), "wrong_private_key"),
        (right, None),
    ],
)
def test_a_correct_signature_sent_wrongly(rsa_key, make, expected):
    assert diagnose_sent(make(rsa_key), rsa_key, time.time(), "good").cause == expected


def test_url_safe_base64_is_named(rsa_key):
    for _ in range(40):
        request = right(rsa_key)
        text = request.headers["KALSHI-ACCESS-SIGNATURE"]
        if set("+/") & set(text):
            break
    safe = SentRequest(
        "GET", BALANCE, {**request.headers, "KALSHI-ACCESS-SIGNATURE": text.replace("+", "-").replace("/", "_")}
    )
    assert diagnose_sent(safe, rsa_key, time.time()).cause == "base64_alphabet"
