"""Measure the CPU time of commands that should start at once, and of `import fairline`."""

import json
import statistics
import subprocess
import sys
from pathlib import Path

LAUNCH = Path(__file__).with_name("launch.py")
REPEATS = 5
COMMANDS = (
    ("-m", "fairline", "--version"),
    ("-m", "fairline", "--help"),
    ("-m", "fairline", "scan", "--help"),
    ("-m", "fairline", "key", "list"),
    ("-m", "fairline", "fees", "--type", "quadratic", "--multiplier", "1", "--price", "0.10"),
    ("-c", "import fairline"),
    ("-c", "pass"),
)


def cpu_seconds(arguments: tuple[str, ...]) -> float:
    """Return the CPU time of a Python process, including the interpreter's own start."""
    command = [sys.executable, "-S", "-E", str(LAUNCH), sys.executable, *arguments]
    # The command prints before the measurement, which is the last line.
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[-1])["cpu"])


def run(repeats: int = REPEATS) -> str:
    rows = ["| command | CPU s, median |", "|---|---|"]
    for arguments in COMMANDS:
        name = " ".join(("python", *arguments)).replace("python -m fairline", "fairline")
        rows.append(f"| `{name}` | {statistics.median(cpu_seconds(arguments) for _ in range(repeats)):.2f} |")
    return "\n".join(rows)
