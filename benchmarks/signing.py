"""Measure signatures per second by kind of key, and their share of a crawl of 15,000 markets."""

import asyncio
import time
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from benchmarks.server import exchange
from fairline.kalshi import ApiKeyAuth, Kalshi, Rate, TokenBucket, Transport, parse_private_key, read_private_key
from fairline.market.listing import read_listing

SIGNATURES = 400


def pem(key: Any) -> bytes:
    text: bytes = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return text


def per_second(auth: ApiKeyAuth) -> float:
    start = time.perf_counter()
    for _ in range(SIGNATURES):
        auth.headers("GET", "/trade-api/v2/markets")
    return SIGNATURES / (time.perf_counter() - start)


async def crawl(url: str, auth: ApiKeyAuth) -> tuple[float, int]:
    start = time.perf_counter()
    bucket = TokenBucket(Rate(refill=10_000, capacity=10_000))
    async with Kalshi(Transport(url, auth=auth, bucket=bucket)) as kalshi:
        listing = await read_listing(kalshi)
    assert listing.complete
    return time.perf_counter() - start, listing.requests


def run() -> str:
    rsa_2048 = ApiKeyAuth("x", parse_private_key(pem(rsa.generate_private_key(public_exponent=65537, key_size=2048))))
    ed25519 = ApiKeyAuth("x", parse_private_key(pem(Ed25519PrivateKey.generate())))
    with exchange("--markets", 15_000) as server:
        auth = ApiKeyAuth(server.key_id, read_private_key(Path(server.key_file)))
        asyncio.run(crawl(server.url, auth))  # the simulator renders its pages
        seconds, requests = min(asyncio.run(crawl(server.url, auth)) for _ in range(3))
    rates = {"RSA-2048": per_second(rsa_2048), "Ed25519": per_second(ed25519)}
    base = rates["RSA-2048"]
    lines = [
        f"| {kind} | {rate:,.0f} | {rate / base:.1f} | {requests / rate / seconds:.1%} |"
        for kind, rate in rates.items()
    ]
    head = f"| key | signatures per second | ratio | share of a crawl ({requests} requests, {seconds:.2f} s) |"
    return "\n".join([head, "|---|---|---|---|", *lines])
