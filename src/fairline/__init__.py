"""Price every market on Kalshi against your own probabilities.

`scan`, `markets`, `explain`, `coherence`, `backtest`, `fee` and `portfolio` are the library's functions; each also has
an `_async` version. Everything is imported on first use: `import fairline` itself costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fairline.version import __version__

if TYPE_CHECKING:
    from fairline.api.account import portfolio, portfolio_async
    from fairline.api.account_report import PortfolioReport
    from fairline.api.backtest import backtest, backtest_async
    from fairline.api.backtest_report import BacktestReport
    from fairline.api.fees import FeeReport, fee, fee_async
    from fairline.api.functions import (
        coherence,
        coherence_async,
        explain,
        explain_async,
        markets,
        markets_async,
        scan,
        scan_async,
    )
    from fairline.api.reports import CoherenceReport, ExplainReport, MarketsReport, ScanReport
    from fairline.errors import FairlineError
    from fairline.store.store import Store

__all__ = [
    "BacktestReport",
    "CoherenceReport",
    "ExplainReport",
    "FairlineError",
    "FeeReport",
    "MarketsReport",
    "PortfolioReport",
    "ScanReport",
    "Store",
    "__version__",
    "backtest",
    "backtest_async",
    "coherence",
    "coherence_async",
    "explain",
    "explain_async",
    "fee",
    "fee_async",
    "markets",
    "markets_async",
    "portfolio",
    "portfolio_async",
    "scan",
    "scan_async",
]
_MODULES = {
    "fairline.api.backtest": ["backtest", "backtest_async"],
    "fairline.api.backtest_report": ["BacktestReport"],
    "fairline.api.account": ["portfolio", "portfolio_async"],
    "fairline.api.account_report": ["PortfolioReport"],
    "fairline.api.fees": ["FeeReport", "fee", "fee_async"],
    "fairline.api.functions": [
        "coherence",
        "coherence_async",
        "explain",
        "explain_async",
        "markets",
        "markets_async",
        "scan",
        "scan_async",
    ],
    "fairline.api.reports": ["CoherenceReport", "ExplainReport", "MarketsReport", "ScanReport"],
    "fairline.errors": ["FairlineError"],
    "fairline.store.store": ["Store"],
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
