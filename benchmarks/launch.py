"""Run a command and print its cost as JSON: `python -S -E launch.py COMMAND ...`.

A process of its own, because the peak memory of a child includes what its parent used at the fork.
"""

import json
import os
import sys
import time


def main() -> None:
    start = time.perf_counter()
    pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
    _, status, usage = os.wait4(pid, 0)
    cost = {
        "seconds": time.perf_counter() - start,
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak_mb": usage.ru_maxrss / 1024,
        "status": os.waitstatus_to_exitcode(status),
    }
    print(json.dumps(cost), file=sys.__stdout__)


main()
