"""Start the command line. `--version` is answered before anything else is imported."""

import sys

from fairline.version import __version__


def main() -> None:
    """Run the command line with the process's arguments and exit with its code."""
    if sys.argv[1:] == ["--version"]:
        print(__version__)
        return
    from fairline.cli.run import run
    from fairline.config.allocator import return_memory_early

    return_memory_early()
    sys.exit(run(sys.argv[1:]))
