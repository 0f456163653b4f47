"""A watch that knows the account: no alert for what is held, one when a holding has faded."""

import re
import signal

import pytest
import requests
from cryptography.hazmat.primitives import serialization

from fairline.sim import Exchange, Key
from tests.flow.watching import HOOKED, Hook, Watched, wait_for


@pytest.fixture
def traded(rsa_pem):
    public = serialization.load_pem_private_key(rsa_pem.encode(), None).public_key()
    with Exchange(markets=600, seed=4, keys=[Key("trader", public, trader_seed=2)]) as exchange:
        yield exchange


@pytest.fixture
def key_file(rsa_pem, tmp_path):
    path = tmp_path / "key.pem"
    path.write_text(rsa_pem)
    path.chmod(0o600)
    return path


def quote(exchange, ticker, bid, ask):
    """Quote a market with two tight sides of 500 contracts."""
    columns = exchange.world.columns
    row = exchange.world.row[ticker]
    columns.bid[row] = bid
    columns.ask[row] = ask
    columns.bid_size[row] = 50_000
    columns.ask_size[row] = 50_000
    columns.revision[row] += 1


def test_what_is_held_is_not_reported_until_its_edge_is_gone(traded, key_file, tmp_path):
    truth = requests.get(f"{traded.root}/sim/account?key_id=trader", timeout=20).json()
    unsettled = [row for row in truth["markets"] if row["subaccount"] == 0 and row["settled_profit"] is None]
    held = [row for row in unsettled if row["position"] > 0]
    assert len(held) > 1
    ticker = held[0]["ticker"]
    for row in held:
        quote(traded, row["ticker"], 5_000, 5_100)
    # The model believes in six points above the middle, so at a bid of 0.50 these are opportunities.
    with Hook() as hook:
        watch = Watched(tmp_path, traded, HOOKED.format(hook.url))
        watch.command += ["--holdings", "--key-id", "trader", "--key-file", str(key_file)]
        with watch:
            check(watch, hook, ticker, held)


def check(watch, hook, ticker, held):
    watch.until("scan 3:")
    edges = watch.read("edges")
    assert edges.filter((edges["ticker"] == ticker) & (edges["side"] == "yes")).height
    messages = "\n".join(body for _, body in hook.accepted)
    assert messages
    assert not [row["ticker"] for row in held if re.search(rf"YES {re.escape(row['ticker'])}\b", messages)]
    # Now the model believes in less than the bid.
    model = watch.folder / "model.py"
    model.write_text(model.read_text().replace("+ 0.06", "- 0.06"))
    watch.process.send_signal(signal.SIGHUP)
    wait_for(lambda: any(f"you hold YES {ticker}" in body for _, body in hook.accepted))
    watch.stop()
