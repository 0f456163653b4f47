"""Every Python block in the documents runs, against the simulator."""

import asyncio
import inspect
import re
from pathlib import Path

import polars as pl
import pytest
from cryptography.hazmat.primitives import serialization

import fairline
from fairline.sim import Key
from fairline.store.store import Store
from tests.flow.test_cli import fairline as run_command  # noqa: F401  the fixture

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCKS = {page: re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL) for page in PAGES}


@pytest.fixture
def place(exchange, tmp_path, monkeypatch, rsa_pem):
    """A folder with what the documents name, and an environment that leads to the simulator, with a trading account."""
    key_file = tmp_path / "key.pem"
    key_file.write_text(rsa_pem)
    key_file.chmod(0o600)
    public = serialization.load_pem_private_key(rsa_pem.encode(), None).public_key()
    exchange.register(Key("documents", public, member_id="documents", trader_seed=1))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FAIRLINE_EXCHANGE", exchange.url)
    monkeypatch.setattr("fairline.kalshi.PRODUCTION", exchange.url)
    columns = exchange.world.columns
    table = pl.DataFrame({"ticker": columns.ticker, "p": (columns.ask / 10_000 + 0.08).clip(0, 0.99)})
    quoted = (columns.status == 1) & (columns.ask > 0)
    table.filter(pl.Series(quoted)).write_csv("mine.csv")
    store = Store(tmp_path / "store")
    store.acquire()
    store.release()
    return tmp_path


def run_uncalled(names, code):
    """Call the functions without required arguments that a block defines and does not call itself."""
    for name in re.findall(r"^(?:async )?def (\w+)\(", code, re.MULTILINE):
        function = names[name]
        required = [p for p in inspect.signature(function).parameters.values() if p.default is p.empty]
        if required or len(re.findall(rf"\b{name}\(", code)) > 1:
            continue
        result = function()
        if inspect.iscoroutine(result):
            asyncio.run(result)


@pytest.mark.parametrize("page", [page for page in PAGES if BLOCKS[page]], ids=lambda page: page.stem)
def test_the_python_blocks_of_a_page_run_in_their_order(page, place, exchange, monkeypatch):
    if any("portfolio(" in code for code in BLOCKS[page]):
        monkeypatch.setenv("KALSHI_API_KEY_ID", "documents")
        monkeypatch.setenv("KALSHI_PRIVATE_KEY_PATH", str(place / "key.pem"))
    names = {
        "__name__": "documents",
        "my_bot": lambda url: fairline.markets(exchange=url).markets["ticker"].to_list(),
    }
    for code in BLOCKS[page]:
        exec(compile(code, page.name, "exec"), names)
        run_uncalled(names, code)
