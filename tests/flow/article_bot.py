"""A program as the article describes it: a client-signed token, a cursor loop, cents, a 2-point threshold.

Run as `python article_bot.py BASE_URL MEMBER_ID KEY_ID KEY_FILE [LIMIT] [PAUSE_S]`. It does not
use Fairline: the simulator has to match the article. Prints the number of markets and opportunities and the balance.
"""

import json
import sys
import time
import uuid
from pathlib import Path

import jwt
import requests

base_url, member_id, key_id, key_file = sys.argv[1:5]
limit = int(sys.argv[5]) if len(sys.argv) > 5 else 500
pause_s = float(sys.argv[6]) if len(sys.argv) > 6 else 0.0
private_key = Path(key_file).read_text()


def token() -> str:
    now = int(time.time())
    claims = {"member_id": member_id, "kid": key_id, "iat": now, "exp": now + 600, "jti": str(uuid.uuid4())}
    return jwt.encode(claims, private_key, algorithm="PS256")


session = requests.Session()
session.headers["Authorization"] = f"Bearer {token()}"
balance = session.get(f"{base_url}/member/balance", timeout=30)
balance.raise_for_status()

markets: list[dict] = []
cursor = None
while True:
    params = {"limit": limit, "status": "open"}
    if cursor:
        params["cursor"] = cursor
    answer = session.get(f"{base_url}/markets", params=params, timeout=30)
    answer.raise_for_status()
    page = answer.json()
    markets += page["markets"]
    cursor = page["cursor"]
    if cursor is None:
        break
    time.sleep(pause_s)

opportunities = []
for market in markets:
    bid, ask = market["yes_bid"] / 100, market["yes_ask"] / 100
    if bid <= 0 or ask >= 1:
        continue
    midpoint = (bid + ask) / 2
    spread = (ask - bid) / midpoint
    model = midpoint + 0.03
    edge = model - ask
    if edge * 100 > 2.0 and model * (1 - ask) - (1 - model) * ask > 0.01 and spread < 0.05:
        opportunities.append((edge, market["ticker"]))
opportunities.sort(reverse=True)
print(json.dumps({"markets": len(markets), "opportunities": len(opportunities), "balance": balance.json()["balance"]}))
