"""Run the simulated exchange in its own process, so that it does not share an interpreter with the code measured."""

import contextlib
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Server:
    url: str
    article_url: str
    key_id: str
    key_file: Path
    pid: int


@contextlib.contextmanager
def exchange(*arguments: object) -> Iterator[Server]:
    """Run `fairline sim` with these arguments on a free port, with all pages rendered before the first request."""
    command = [sys.executable, "-m", "fairline", "sim", "--port", "0", "--moves", "0", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "Ctrl-C" in line:
                break
        output = "".join(lines)
        try:
            urls = re.findall(r"http://\S+", output)
            key = re.search(r"KEY_PATH=(\S+)", output)
            yield Server(urls[0], urls[1], "sim-key", Path(key[1] if key else ""), process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=20)
