"""Sends valid and invalid requests that schemathesis generates from the specification to the simulated exchange.

No answer may be a 500, and every answer must match the specification. Signed endpoints refuse the unsigned requests.
`make fuzz` installs schemathesis in a separate environment and runs this.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from fairline.sim import Exchange, World
from fairline.sim.catalog import WorldCatalog

HERE = Path(__file__).parent
SPECIFICATION = HERE.parents[1] / "shared" / "kalshi" / "openapi.yaml"
SCHEMATHESIS = HERE.parent / ".venv-clients" / "schemathesis" / "bin" / "st"


def main() -> int:
    if not SPECIFICATION.exists() or not SCHEMATHESIS.exists():
        print("skipped: needs the specification beside the project, and schemathesis (run make fuzz to install it)")
        return 0
    world = World(400, combos=30, past=100, moves=30, speed=60, seed=8)
    with Exchange(catalog=WorldCatalog(world)) as exchange:
        command = [
            str(SCHEMATHESIS), "run", str(SPECIFICATION), "--url", exchange.url,
            "--include-method", "GET",
            "--checks", "not_a_server_error,response_schema_conformance,content_type_conformance",
            "--phases", "examples,coverage,fuzzing", "--max-examples", "40", "--seed", "1", "--workers", "2",
            "--request-timeout", "20", "--continue-on-failure", "--suppress-health-check", "all",
        ]  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            return subprocess.run(command, check=False, timeout=1800, cwd=folder).returncode


sys.exit(main())
