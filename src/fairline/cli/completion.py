"""`completion`: shell completion of commands and options."""

from typing import Annotated, Literal

from cyclopts import Parameter

from fairline.cli import app


def completion(
    shell: Annotated[Literal["bash", "fish", "zsh"], Parameter(help="The shell to print the script for.")], /
) -> None:
    """Print a script that completes commands and options in your shell."""
    print(app.build_app().generate_completion(shell=shell))
