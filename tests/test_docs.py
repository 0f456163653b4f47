"""The documents agree with the code: commands, options, rooms, faults, dependencies, version, examples."""

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

import fairline
from fairline.cli.app import COMMANDS as COMMAND_GROUPS
from fairline.config.settings import ENVIRONMENT
from fairline.kalshi.remedies import REMEDIES
from fairline.market.fees import POLICIES
from fairline.output.formats import FORMATS
from fairline.pricing.devig import METHODS, devig
from fairline.pricing.rules import Rules
from fairline.sim import FAULTS
from fairline.store.datasets import DATASETS
from fairline.watch.alerts import Rule
from fairline.watch.settings import KEEP_DAYS

ROOT = Path(__file__).resolve().parents[1]
DOCS = {path.name: path.read_text() for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]}
COMMANDS = sorted({name.split()[0] for group in COMMAND_GROUPS.values() for name in group})
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_link_has_a_target():
    for name, text in DOCS.items():
        folder = ROOT if name == "README.md" else ROOT / "docs"
        for target in re.findall(r"\]\(([^)#]+)", text):
            assert target.startswith("http") or (folder / target).exists(), f"{name} links to {target}"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_documented(command):
    assert any(f"fairline {command}" in text for text in DOCS.values())


def test_the_architecture_lists_every_room():
    source = ROOT / "src" / "fairline"
    rooms = {f"{path.parent.relative_to(source)}/" for path in source.rglob("*/__init__.py")}
    rooms |= {path.name for path in source.glob("*.py") if not path.name.startswith("__")}
    listed = set(re.findall(r"^\| `([^`]+)` \|", DOCS["architecture.md"], re.MULTILINE))
    assert listed >= rooms


def test_every_fault_setting_format_and_threshold_is_documented():
    for name, description in FAULTS.items():
        assert f"| `{name}` | {description} |" in DOCS["simulator.md"]
    for policy in POLICIES.values():
        assert f"| `{policy.name}` | {policy.source} |" in DOCS["pricing.md"]
    for cause, remedy in REMEDIES.items():
        assert f"| `{cause}` | {remedy} |" in DOCS["authentication.md"]
    for variable in ENVIRONMENT.values():
        assert variable in DOCS["authentication.md"]
    for form in FORMATS:
        assert f"`{form}`" in DOCS["scanning.md"] or f"--format {form}" in DOCS["scanning.md"]
    rules = Rules()
    assert f"--min-edge {rules.min_edge_points}" in DOCS["scanning.md"]
    assert f"--min-ev {rules.min_ev}" in DOCS["scanning.md"]
    assert f"--max-spread {rules.max_spread_percent:g}" in DOCS["scanning.md"]


def test_datasets_retention_and_alert_settings_are_documented():
    text = " ".join(DOCS["running.md"].split())
    for name, schema in DATASETS.items():
        assert f"- `{name}`: " + ", ".join(f"`{column}`" for column in schema.names()) in text
        assert f"| `{name}` |" in text
        assert f"| {KEEP_DAYS[name]:,} |" in text
    for setting in Rule.__struct_fields__:
        assert setting == "name" or f"`{setting}`" in text


def test_each_dependency_is_listed_with_its_reason():
    names = [re.match(r"[a-z0-9-]+", d)[0] for d in PROJECT["project"]["dependencies"]]
    packages = [row.lower() for row in re.findall(r"^\| (\w+) \| \w", DOCS["README.md"], re.MULTILINE)]
    assert sorted(names) == sorted(set(packages) - {"package"})
    assert len(names) <= 13, "about a dozen"


def test_the_version_has_a_changelog_entry():
    assert f"## {fairline.__version__} (" in (ROOT / "CHANGELOG.md").read_text()


def test_constraints_pin_every_dependency_and_contain_no_host():
    text = (ROOT / "constraints.txt").read_text()
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in text.splitlines() if "==" in line}
    assert {re.match(r"[a-z0-9-]+", d)[0] for d in PROJECT["project"]["dependencies"]} <= pinned
    assert "://" not in text
    assert "@" not in text


@pytest.mark.parametrize("name", sorted(DOCS))
def test_python_in_the_documents_compiles(name):
    for block in re.findall(r"```python\n(.*?)```", DOCS[name], re.DOTALL):
        compile(block, name, "exec")


def test_worked_margins_match_the_code():
    for method in METHODS:
        yes, no = devig(np.array([0.6, 0.5]), np.array([0, 0]), method)
        assert f"| `{method}` | {yes:.4f}, {no:.4f}" in DOCS["pricing.md"]


def test_worked_arithmetic_matches_the_code(tmp_path):

    from tests.unit.pricing.test_edge import edges_of, side

    big = {"yes_ask_size_fp": "500.00", "yes_bid_size_fp": "500.00"}
    yes = side(edges_of(big, 0.65), "yes")
    assert (yes["order_fee_u"], yes["fee_u"], yes["ev_u"]) == (1_650_000, 16_500, 13_500)
    text = DOCS["scanning.md"]
    assert f"{yes['ev_per_dollar']:.2%}".replace("%", " %") in text
    assert f"{yes['kelly']:.2%}".replace("%", " %") in text


def test_the_worked_numbers_of_belief_are_the_codes():
    from fairline.pricing.belief import Beliefs, Record
    from tests.unit.pricing.test_edge import edges_of, side

    record = Record("m", "any", k=0.6, cap=0.05, estimate=0.7, standard_error=0.1, events=2_000)
    beliefs = Beliefs((record,), built_in=frozenset({"m"}))
    quotes = {"yes_bid_dollars": "0.61", "yes_ask_dollars": "0.62", "yes_ask_size_fp": "500.00"}
    for p in (0.660, 0.680, 0.750):
        row = side(edges_of(quotes, p, rules=Rules(), beliefs=beliefs), "yes")
        outcome = "unproven: not above $0.01" if row["bin"] == "unproven" else "believed"
        numbers = f"{row['p_believed']:.3f} | {row['ev_u'] / 1e6:.4f} | {row['believed_ev_u'] / 1e6:.4f} | {outcome} |"
        assert f"| {p:.3f} | {p - 0.615:.3f} |" in DOCS["pricing.md"]
        assert numbers in DOCS["pricing.md"]
