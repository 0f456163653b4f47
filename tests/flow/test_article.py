import json
import subprocess
import sys
from pathlib import Path

import requests
from cryptography.hazmat.primitives import serialization

from fairline.sim import Key

BOT = Path(__file__).with_name("article_bot.py")


def test_a_program_written_from_the_article_runs_against_the_simulator(exchange, rsa_pem, tmp_path):
    key_file = tmp_path / "key.pem"
    key_file.write_text(rsa_pem)
    public = serialization.load_pem_private_key(rsa_pem.encode(), None).public_key()
    exchange.register(Key("article-key", public, member_id="someone", balance_cents=12_345))
    command = [sys.executable, str(BOT), exchange.article_url, "someone", "article-key", str(key_file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    got = json.loads(done.stdout)
    assert got["markets"] == 1_500
    assert got["balance"] == 12_345
    assert got["opportunities"] > 0


def test_the_articles_surface_requires_its_token(exchange):
    answer = requests.get(f"{exchange.article_url}/markets")
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "token_authentication_failure"


def test_a_comma_list_of_books_gives_one_empty_book_as_on_the_exchange(exchange):
    a, b = exchange.backend.catalog.tickers[:2]
    joined = requests.get(f"{exchange.url}/markets/orderbooks", params={"tickers": f"{a},{b}"}).json()["orderbooks"]
    empty = {"yes_dollars": [], "no_dollars": []}
    assert joined == [{"ticker": f"{a},{b}", "orderbook_fp": empty}]
    proper = requests.get(f"{exchange.url}/markets/orderbooks", params={"tickers": [a, b]}).json()["orderbooks"]
    assert [book["ticker"] for book in proper] == [a, b]


def test_malformed_requests_get_the_exchanges_own_400_and_404(exchange):
    def body(path, **params):
        answer = requests.get(exchange.url + path, params=params)
        return answer.status_code, answer.json()

    assert body("/markets", limit="many") == (
        400,
        {"msg": "Invalid format for parameter limit: error binding string parameter"},
    )
    status, answer = body("/markets", limit=1001)
    assert status == 400
    assert "'Limit' failed on the 'lte' tag" in answer["msg"]
    assert body("/events", limit=201) == (400, {"error": {"code": "bad_request", "message": "bad request"}})
    assert body("/markets/NOPE") == (404, {"error": {"code": "not_found", "message": "not found"}})
    assert body("/markets/NOPE/orderbook")[0] == 200
    assert body("/markets", cursor="%%%")[0] == 400
    assert body("/nowhere")[0] == 404
    assert body("/series", category="No such")[1] == {"series": []}
