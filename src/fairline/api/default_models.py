"""The models of a scan that names none: the built-in ones that can run as they are."""

from datetime import UTC, datetime

from fairline.config.connect import sources_of
from fairline.config.model_settings import model_settings
from fairline.errors import UsageError
from fairline.market.frame import empty_markets, with_probabilities
from fairline.models import Model, list_models
from fairline.sources import Request

_REAL_EXCHANGES = ("production", "demo")
_BUILT_IN_PREFIX = "fairline "
_KEY = "{key:"


def default_models(exchange: str) -> list[str]:
    """Return the names of the built-in models that need no key and whose files exist.

    On other exchanges than production and demo, such as the simulator, only models without outside inputs are left: the
    real world says nothing about invented markets.
    """
    names = []
    for entry in list_models(model_settings(exchange)):
        if not entry.origin.startswith(_BUILT_IN_PREFIX):
            continue
        try:
            model = entry.load()
        except UsageError:
            continue
        if _is_ready(model, real=exchange in _REAL_EXCHANGES):
            names.append(entry.name)
    return names


def _is_ready(model: Model, *, real: bool) -> bool:
    now = datetime.now(UTC)
    requests = model.requests(with_probabilities(empty_markets()), now)
    if not requests:
        return True
    return real and any(_is_open(request) or _exists(request, now) for request in requests)


def _is_open(request: Request) -> bool:
    return request.source == "https" and _KEY not in request.key


def _exists(request: Request, now: datetime) -> bool:
    return request.source == "user" and sources_of().age_s(request, now) is not None
