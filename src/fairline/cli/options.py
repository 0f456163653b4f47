"""Options that several commands share, by their group in the help."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from fairline.api import options as declared
from fairline.market.filters import Filters
from fairline.pricing.rules import Rules

_FILTERS = Group("Which markets", sort_key=10)
_RULES = Group("What counts as an opportunity", sort_key=20)
_MODELS = Group("Models", sort_key=5)
_SIZING = Group("Position sizes", sort_key=30)
PERIOD = Group("Period and trading", sort_key=35)
_READING = Group("Reading the exchange", sort_key=40)
_CONNECTION = Group("Exchange and key", sort_key=60)

FilterOptions = Annotated[Filters, Parameter(name="*", group=_FILTERS)]
RuleOptions = Annotated[Rules, Parameter(name="*", group=_RULES)]
ConnectionOptions = Annotated[declared.Connection, Parameter(name="*", group=_CONNECTION)]
CredentialOptions = Annotated[declared.Credentials, Parameter(name="*", group=_CONNECTION)]
InputOptions = Annotated[declared.ModelInputs, Parameter(name="*", group=_MODELS)]
SizingOptions = Annotated[declared.Sizing, Parameter(name="*", group=_SIZING)]
AccountUseOptions = Annotated[declared.AccountUse, Parameter(name="*", group=_SIZING)]
CrawlOptions = Annotated[declared.Crawl, Parameter(name="*", group=_READING)]
PeriodOptions = Annotated[declared.Period, Parameter(name="*", group=PERIOD)]
TradingOptions = Annotated[declared.Trading, Parameter(name="*", group=PERIOD)]
RunningOptions = Annotated[declared.Running, Parameter(name="*", group=PERIOD)]
BookOptions = Annotated[declared.Books, Parameter(name="*", group=_READING)]

ModelArguments = Annotated[
    str, Parameter(group=_MODELS, help="An installed model, a CSV or Parquet file, or path/to/file.py:Name.")
]
Plan = Annotated[
    bool, Parameter(group=_READING, negative="", help="Print the requests that would be sent, and send none.")
]
Since = Annotated[timedelta | None, Parameter(help="Only this long ago until now, such as 24h or 30d. Default: all.")]
StoreFolder = Annotated[
    Path | None, Parameter(name="--store", group=_CONNECTION, help="Folder where the watch keeps its data.")
]


@Parameter(name="*", group=_CONNECTION)
@dataclass(frozen=True, slots=True)
class SigningOptions(declared.Credentials):
    """The API key and how requests are signed with it."""

    auth: str | None = None
    """api-key, or jwt: a scheme from an article that today's exchange rejects."""
    member_id: str | None = None
    """Only for --auth jwt."""


@Parameter(name="*", group=_MODELS)
@dataclass(frozen=True, slots=True)
class ModelOptions:
    """Models by flag, beside those that are given as arguments."""

    probabilities: tuple[Path, ...] = ()
    """CSV or Parquet file with the columns ticker, p and optionally p_sd and asof. Repeatable."""
    model: tuple[str, ...] = ()
    """An installed model, or path/to/file.py:Name. Repeatable."""

    def all_models(self, *more: str) -> list[str | Path]:
        """Return every requested model."""
        return [*more, *self.probabilities, *self.model]
