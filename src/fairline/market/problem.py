"""What went wrong during a listing or a scan without stopping it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that failed and was worked around.

    Either a `model` or a `stage` (`filters`, `prices`, `fees`, `books`) is named; `ticker` is set if the problem
    concerns one market only, `traceback` if a model raised an unexpected error. `silent` marks a model that gave no
    predictions at all.
    """

    message: str
    model: str = ""
    stage: str = ""
    ticker: str = ""
    traceback: str = ""
    silent: bool = False

    @property
    def origin(self) -> str:
        """The model or stage for display; compare `model` or `stage` to tell them apart."""
        return self.model or self.stage

    def __str__(self) -> str:
        return f"{self.origin}: {self.message}" if self.origin else self.message
