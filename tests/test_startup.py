"""A command line that starts at once: what `--version`, the help and small commands import and cost."""

import os
import resource
import subprocess
import sys

import pytest

from fairline.cli.app import COMMANDS, build_app
from fairline.cli.fees import Policy
from fairline.cli.simulation import Tier
from fairline.kalshi.limits import TIERS
from fairline.market.fees import POLICIES

HEAVY = ("polars", "scipy", "aiohttp", "numpy", "matplotlib")
NAMES = sorted(name for group in COMMANDS.values() for name in group)


def modules_after(*arguments):
    """Return the modules that a command imports."""
    script = (
        "import runpy, sys\n"
        f"sys.argv = ['fairline', *{list(arguments)!r}]\n"
        "try:\n    runpy.run_module('fairline', run_name='__main__')\n"
        "except SystemExit:\n    pass\n"
        "print('\\n'.join(sorted(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    return set(done.stderr.split())


def cpu_s(*arguments):
    """Return the least CPU time of three runs, which a busy machine disturbs least."""
    times = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "fairline", *arguments], capture_output=True, timeout=60)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(times)


def test_the_version_is_answered_before_anything_is_imported():
    loaded = modules_after("--version")
    assert not loaded & {*HEAVY, "cyclopts", "rich", "asyncio", "fairline.cli.run"}


def test_importing_the_library_imports_nothing_else():
    script = "import fairline, sys; print(sorted(m for m in sys.modules if m.startswith('fairline')))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "['fairline', 'fairline.version']"


@pytest.mark.parametrize("name", ["", *NAMES])
def test_no_help_imports_numeric_or_network_libraries(name):
    assert not modules_after(*name.split(), "--help") & set(HEAVY)


@pytest.mark.parametrize(
    ("limit_s", "arguments"),
    [
        (0.05, ["--version"]),
        (0.35, ["--help"]),
        (0.35, ["scan", "--help"]),
        (0.35, ["key", "list"]),
        (0.35, ["fees", "--type", "quadratic", "--price", "0.10"]),
    ],
)
def test_small_commands_start_within_their_cpu_limit(limit_s, arguments):
    # A loaded CI machine is slower than the one that the limits were set on.
    assert cpu_s(*arguments) <= limit_s * float(os.environ.get("FAIRLINE_SLOWER", "1"))


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_its_docstring_and_an_example_as_help(name):
    group = next(group for group in COMMANDS.values() if name in group)
    command = group[name]
    app = build_app()
    for part in name.split():
        app = app[part]
    assert command.example.startswith(f"fairline {name}")
    assert app.default_command.__doc__.splitlines()[0] == command.help


def test_choices_written_out_for_a_light_help_are_those_of_the_library():
    assert Tier.__args__ == tuple(TIERS)
    assert Policy.__args__ == tuple(POLICIES)
