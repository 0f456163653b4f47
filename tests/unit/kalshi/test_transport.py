import json

import pytest

from fairline.kalshi import errors, wire
from fairline.kalshi.auth import ApiKeyAuth
from fairline.kalshi.transport import HttpRequest, Response, Retry, Transport, encode_query

OK = Response(200, {}, b'{"exchange_active":true,"trading_active":true}')


class Script:
    """A transport function with scripted answers and errors. It records requests and pauses."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests: list[HttpRequest] = []
        self.slept: list[float] = []

    async def __call__(self, request):
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def sleep(self, seconds):
        self.slept.append(seconds)


def transport(script, bucket, **more):
    return Transport(
        "https://host/trade-api/v2", send=script, sleep=script.sleep, uniform=lambda a, b: b, bucket=bucket, **more
    )


def failure(status, body=b"", **headers):
    return Response(status, headers, body)


async def ask(script, bucket, **more):
    return await transport(script, bucket, **more).get("/exchange/status", decode=wire.exchange_status)


@pytest.mark.parametrize(
    "trouble",
    [
        errors.TransportError("reset"),
        failure(429, b'{"error":"too many requests"}'),
        failure(500),
        failure(502, b"<html>"),
        failure(503),
        Response(200, {}, b'{"exchange_active":tr'),
        Response(200, {}, b"<html>log in</html>"),
        Response(200, {}, b""),
    ],
    ids=lambda t: str(getattr(t, "status", t))[:20],
)
async def test_transient_faults_are_retried(trouble, unhurried):
    script = Script(trouble, trouble, OK)
    assert (await ask(script, unhurried)).trading_active
    assert script.slept == [0.5, 1.0]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 410, 422, 451])
async def test_no_other_4xx_is_retried(status, unhurried):
    script = Script(failure(status, b'{"error":{"code":"c","message":"m","details":"d"}}'), OK)
    with pytest.raises(errors.ApiError) as caught:
        await ask(script, unhurried)
    assert (caught.value.status, caught.value.code, caught.value.details) == (status, "c", "d")
    assert len(script.requests) == 1


async def test_it_gives_up_after_its_attempts_with_the_last_error(unhurried):
    script = Script(*[failure(500)] * 6)
    with pytest.raises(errors.ServerError, match="answered 500"):
        await ask(script, unhurried)
    assert len(script.requests) == 6


async def test_the_pause_is_full_jitter_and_capped(unhurried):
    drawn = []

    def uniform(low, high):
        drawn.append((low, high))
        return 0.0

    script = Script(*[failure(500)] * 9, OK)
    subject = Transport(
        "http://h/v", send=script, sleep=script.sleep, uniform=uniform, bucket=unhurried, retry=Retry(10)
    )
    await subject.get("/x", decode=wire.exchange_status)
    assert drawn == [(0, min(8.0, 0.25 * 2**n)) for n in range(1, 10)]


async def test_a_retry_after_of_a_proxy_is_respected(unhurried):
    script = Script(failure(429, b"{}", **{"Retry-After": "3"}), OK)
    await ask(script, unhurried)
    assert script.slept[0] >= 3


async def test_every_attempt_is_signed_again_over_the_path_with_prefix(rsa_key, unhurried):
    times = iter([1.0, 2.0])
    auth = ApiKeyAuth("id", rsa_key, clock=lambda: next(times))
    script = Script(failure(500), OK)
    await transport(script, unhurried, auth=auth).get("/markets", {"limit": 5}, decode=wire.exchange_status)
    stamps = [request.headers["KALSHI-ACCESS-TIMESTAMP"] for request in script.requests]
    assert stamps == ["1000", "2000"]
    assert script.requests[0].url == "https://host/trade-api/v2/markets?limit=5"


async def test_without_a_key_nothing_is_signed(unhurried):
    script = Script(OK)
    await ask(script, unhurried)
    assert dict(script.requests[0].headers) == {}


async def test_a_429_slows_the_bucket_and_counts_as_a_retry(unhurried):
    script = Script(failure(429, b"{}"), OK)
    subject = transport(script, unhurried)
    await subject.get("/x", decode=wire.exchange_status)
    assert subject.bucket.share < 1
    assert (subject.traffic.requests, subject.traffic.retries) == (2, 1)


async def test_a_redirect_is_not_followed_and_says_where_it_leads(unhurried):
    script = Script(failure(301, Location="https://elsewhere/x"))
    with pytest.raises(errors.RedirectError, match="https://elsewhere/x"):
        await ask(script, unhurried)
    assert len(script.requests) == 1


@pytest.mark.parametrize(
    "body,remedy",
    [
        ({"error": {"code": "authentication_error", "message": "authentication_error",
                    "details": "INCORRECT_API_KEY_SIGNATURE"}}, "does not belong to this key id"),
        ({"error": {"code": "authentication_error", "message": "authentication_error", "details": "NOT_FOUND"}},
         "key id is unknown here"),
        ({"error": {"code": "token_authentication_failure", "message": "token authentication failure"}},
         "Set KALSHI_API_KEY_ID"),
        ({"error": {"code": "header_timestamp_expired", "message": "x"}}, "Synchronise this machine"),
    ],
)  # fmt: skip
async def test_a_refusal_names_its_remedy(body, remedy, unhurried):
    script = Script(failure(401, json.dumps(body).encode()))
    with pytest.raises(errors.AuthError, match=remedy):
        await ask(script, unhurried)


def test_repeated_parameters_are_repeated_and_absent_ones_left_out():
    assert encode_query({"a": None, "tickers": ["X", "Y"], "n": 3}) == "tickers=X&tickers=Y&n=3"


async def test_requests_do_not_show_their_headers(rsa_key, unhurried):
    script = Script(OK)
    await ask(script, unhurried, auth=ApiKeyAuth("id", rsa_key))
    assert "SIGNATURE" not in repr(script.requests[0])


@pytest.mark.parametrize(
    "url,sentence",
    [
        ("http://127.0.0.1:9/trade-api/v2", "cannot connect to 127.0.0.1:9"),
        ("http:///trade-api/v2", "not a valid address"),
    ],
)
async def test_network_faults_name_the_host(url, sentence, unhurried):
    async with Transport(url, retry=Retry(tries=1), bucket=unhurried) as subject:
        with pytest.raises(errors.KalshiError, match=sentence):
            await subject.get("/exchange/status", decode=wire.exchange_status)
