"""The options of each function, put together. Plain data: importing it costs nothing."""

from dataclasses import dataclass

from fairline.api.options import (
    AccountOptions,
    AccountUse,
    Books,
    Connection,
    Crawl,
    Credentials,
    ModelInputs,
    Period,
    Running,
    Sizing,
    Trading,
)
from fairline.market.filters import Filters
from fairline.pricing.rules import Rules


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """The options of a scan."""

    connection: Connection = Connection()
    credentials: Credentials = Credentials()
    filters: Filters = Filters()
    rules: Rules = Rules()
    sizing: Sizing = Sizing()
    account: AccountUse = AccountUse()
    books: Books = Books()
    inputs: ModelInputs = ModelInputs()
    crawl: Crawl = Crawl()


@dataclass(frozen=True, slots=True)
class MarketsRequest:
    """The options of a listing without models."""

    connection: Connection = Connection()
    credentials: Credentials = Credentials()
    filters: Filters = Filters()
    crawl: Crawl = Crawl()


@dataclass(frozen=True, slots=True)
class ExplainRequest:
    """The options of an explanation."""

    connection: Connection = Connection()
    credentials: Credentials = Credentials()
    rules: Rules = Rules()
    inputs: ModelInputs = ModelInputs()


@dataclass(frozen=True, slots=True)
class CoherenceRequest:
    """The options of a search for quotes that contradict each other."""

    connection: Connection = Connection()
    credentials: Credentials = Credentials()
    filters: Filters = Filters()
    books: Books = Books()
    crawl: Crawl = Crawl()


@dataclass(frozen=True, slots=True)
class BacktestRequest:
    """The options of a backtest."""

    connection: Connection = Connection()
    period: Period = Period()
    trading: Trading = Trading()
    running: Running = Running()
    filters: Filters = Filters()
    rules: Rules = Rules()
    sizing: Sizing = Sizing()


@dataclass(frozen=True, slots=True)
class PortfolioRequest:
    """The options of a look at an account."""

    connection: Connection = Connection()
    credentials: Credentials = Credentials()
    account: AccountOptions = AccountOptions()
