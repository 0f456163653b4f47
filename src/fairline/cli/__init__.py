"""The command line."""

from fairline.cli.main import app, main

__all__ = ["app", "main"]
