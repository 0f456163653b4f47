"""Models by others: from a file, installed as a package, and as the guide explains."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "write-a-model.md").read_text()


@pytest.fixture
def fairline(exchange):
    def call(*arguments, cwd, site=None):
        environment = dict(os.environ) | {"FAIRLINE_EXCHANGE": exchange.url, "COLUMNS": "200"}
        if site is not None:
            environment["PYTHONPATH"] = str(site)
        command = [sys.executable, "-m", "fairline", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=60)

    return call


def install(folder, site):
    """Install a package with pip, without network."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index",
               "--disable-pip-version-check", "--target", str(site), str(folder)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def block(language, after):
    return re.search(rf"```{language}\n(.*?)```", GUIDE[GUIDE.index(after) :], re.DOTALL)[1]


def test_following_the_guide_gives_an_installed_model(fairline, exchange, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "evens.py").write_text(block("python", "Put this into"))
    scan, explain = block("", "and scan with it").strip().splitlines()
    done = fairline(*scan.split()[1:], "--format", "json", cwd=folder)
    assert done.returncode == 0, done.stderr
    opportunities = json.loads(done.stdout)["opportunities"]
    assert opportunities
    assert {row["model"] for row in opportunities} == {"evens"}
    explanation = fairline(*explain.replace("TICKER", opportunities[0]["ticker"]).split()[1:], cwd=folder)
    assert "by evens" in explanation.stdout

    (folder / "pyproject.toml").write_text(block("toml", "Make it a package"))
    _, listing, scan = block("", "Install it and use").strip().splitlines()
    site = tmp_path / "site"
    install(folder, site)
    assert (
        "evens  1  fairline-evens 1  Half-way between" in fairline(*listing.split()[1:], cwd=tmp_path, site=site).stdout
    )
    done = fairline(*scan.split()[1:], "--max-spread", "20", "--format", "json", cwd=tmp_path, site=site)
    assert {row["model"] for row in json.loads(done.stdout)["opportunities"]} == {"evens"}


def test_the_example_package_is_small_and_prices_markets_once_installed(fairline, tmp_path):
    example = ROOT / "examples" / "plugin"
    assert sum(len((example / name).read_text().splitlines()) for name in ("favourites.py", "pyproject.toml")) <= 60
    copy, site = tmp_path / "plugin", tmp_path / "site"
    copy.mkdir()
    for name in ("favourites.py", "pyproject.toml"):
        (copy / name).write_text((example / name).read_text())
    install(copy, site)
    listed = json.loads(fairline("models", "--json", cwd=tmp_path, site=site).stdout)
    favourites = next(model for model in listed if model["name"] == "favourites")
    assert (favourites["origin"], favourites["problem"], favourites["inputs"]) == ("fairline-favourites 0.1", None, [])
    arguments = ("scan", "--model", "favourites", "--min-edge", "-100", "--min-ev", "-0.9", "--min-believed-ev", "-0.9",
                 "--max-spread", "200")  # fmt: skip
    scan = json.loads(fairline(*arguments, "--format", "json", cwd=tmp_path, site=site).stdout)
    assert not scan["problems"]
    assert len(scan["opportunities"]) > 500


@pytest.mark.parametrize(
    ("content", "name", "sentence"),
    [
        ("x = 1", "mine.py:Nothing", "cannot be loaded (AttributeError"),
        ("import no_such_thing", "mine.py:X", "cannot be loaded (ModuleNotFoundError"),
        ("def (", "mine.py:X", "cannot be loaded (SyntaxError"),
        ("class X: pass", "mine.py:X", "lacks name, version, covers, requests or predict"),
        ("x = 1", "mine.py", "does not name a model in the file"),
        ("x = 1", "gone.py:X", "gone.py is not a file"),
    ],
)
def test_a_file_without_a_model_is_a_one_line_error(fairline, tmp_path, content, name, sentence):
    (tmp_path / "mine.py").write_text(content)
    done = fairline("scan", "--model", name, cwd=tmp_path)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_inputs_are_listed_with_their_age_or_as_missing(fairline, tmp_path):
    folder, site = tmp_path / "pack", tmp_path / "site"
    folder.mkdir()
    (tmp_path / "there.csv").write_text("ticker,p\n")
    code = block("python", "Put this into").replace(
        "        return []", f"        return [Request('file', '{tmp_path}/there.csv'), Request('file', 'gone.csv')]"
    )
    (folder / "evens.py").write_text("from fairline.sources import Request\n" + code)
    (folder / "pyproject.toml").write_text(block("toml", "Make it a package"))
    install(folder, site)
    shown = fairline("models", cwd=tmp_path, site=site).stdout
    assert f"reads file {tmp_path}/there.csv (0.0 h old)" in shown
    assert "reads file gone.csv (missing)" in shown
