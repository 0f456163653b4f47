"""The command line. A command's code is imported when the command runs."""

from fairline.cli.main import main

__all__ = ["main"]
