"""`fairline doctor --contract` on the simulator: it passes, and every drift is found and named."""

import json

import pytest
from cryptography.hazmat.primitives import serialization

from fairline.kalshi import ApiKeyAuth, Retry, Transport
from fairline.kalshi.contract import MAX_REQUESTS, ContractCheck
from fairline.sim import Exchange, Fault, Key
from tests.flow.test_cli import fairline

__all__ = ["fairline"]


def public(pem):
    return serialization.load_pem_private_key(pem.encode(), None).public_key()


@pytest.fixture
def place(rsa_pem):
    with Exchange(markets=1_500, seed=2, keys=[Key("secret-key-id", public(rsa_pem))]) as exchange:
        yield exchange


async def check(place, bucket, key=None):
    auth = None if key is None else ApiKeyAuth("secret-key-id", key)
    transport = Transport(place.url, auth=auth, bucket=bucket, retry=Retry(tries=2, base_s=0.001))
    async with transport:
        return await ContractCheck(transport, place.websocket_url).run()


def faults(report):
    return {check.name: check.evidence for check in report.checks if check.status == "fail"}


async def test_the_simulator_is_as_this_version_expects(place, unhurried, rsa_key):
    report = await check(place, unhurried, rsa_key)
    assert faults(report) == {}
    assert report.passed
    assert report.requests <= MAX_REQUESTS
    assert {check.status for check in report.checks} <= {"pass", "warn"}
    assert "yes_bid_dollars" in report.keys["market"]


async def test_without_a_key_what_needs_one_is_skipped(place, unhurried):
    report = await check(place, unhurried)
    assert [check.name for check in report.checks if check.status == "skipped"] == ["account", "feed"]
    assert report.passed


CHECK_OF_DRIFT = {
    "drift-price-name": ("markets", "yes_bid_dollars"),
    "drift-empty-objects": ("markets", "cannot be read"),
    "drift-no-markets": ("markets", "is empty"),
    "drift-no-cursor": ("markets", "no cursor"),
    "drift-cursor-name": ("paging", "no cursor"),
    "repeat-cursor": ("paging", "cursor of page 1"),
    "drift-no-series": ("series and fees", "is empty"),
    "drift-no-multiplier": ("series and fees", "fee_multiplier is missing"),
    "drift-huge-multiplier": ("series and fees", "fee_multiplier"),
    "drift-no-events": ("events", "is empty"),
    "drift-book-names": ("order books", "cannot be read"),
    "drift-book-side": ("order books", "no_dollars"),
    "drift-book-sizes": ("order books", "not a size"),
    "drift-payout": ("settlements", "payout between 0 and 1"),
    "drift-result-name": ("settlements", "result"),
    "feed-redirect": ("feed", "redirect"),
    "feed-unavailable": ("feed", "503"),
    "captive-page": ("status", "web page"),
    "500": ("markets", "500"),
}


@pytest.mark.parametrize("name", CHECK_OF_DRIFT)
async def test_every_drift_is_found_within_the_limit_of_requests(place, unhurried, rsa_key, name):
    place.faults.set(Fault(name))
    report = await check(place, unhurried, rsa_key)
    reported = faults(report)
    step, message = CHECK_OF_DRIFT[name]
    assert message in reported[step]
    assert not report.passed
    assert report.requests <= MAX_REQUESTS


@pytest.mark.parametrize("name", ["ignored-windows", "drift-market-type", "shuffled-rows"])
async def test_what_a_scan_copes_with_is_a_warning(place, unhurried, name):
    place.faults.set(Fault(name))
    report = await check(place, unhurried)
    assert report.passed
    assert any(check.status == "warn" for check in report.checks)


def test_the_report_is_written_redacted_and_its_exit_code_is_the_result(fairline, place, rsa_pem, tmp_path):
    key = tmp_path / "key.pem"
    key.write_text(rsa_pem)
    key.chmod(0o600)
    output = tmp_path / "report.json"
    at = ("--exchange", place.url, "--key-id", "secret-key-id", "--key-file", key)
    passed = fairline("doctor", "--contract", *at, "--output", output)
    assert passed.returncode == 0, passed.stderr
    assert "is as this version expects" in passed.stdout
    report = json.loads(output.read_text())
    assert report["passed"]
    assert report["requests"] <= MAX_REQUESTS
    text = output.read_text() + passed.stdout
    assert "secret-key-id" not in text
    assert "SHA256:" not in text
    place.faults.set(Fault("drift-price-name"))
    failed = fairline("doctor", "--contract", *at, "--json")
    assert failed.returncode == 1
    assert not json.loads(failed.stdout)["passed"]


def test_an_output_file_without_the_contract_gets_the_diagnosis(fairline, place, tmp_path):
    fairline("doctor", "--exchange", place.url, "--output", tmp_path / "x.json")
    assert "checks" in json.loads((tmp_path / "x.json").read_text())
