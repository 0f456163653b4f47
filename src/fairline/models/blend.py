"""Pool other models with the market's price, each weighted by its record."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

import polars as pl

from fairline.config.model_settings import ModelSettings, check_fit
from fairline.errors import ConfigError, FairlineError, InputError, UsageError
from fairline.models.answer import note_row, priced_rows, to_predictions
from fairline.models.checks import split_usable
from fairline.models.coherent import is_quoted, midpoint
from fairline.models.pool import Floats, Pool, pool_opinions, read_pool
from fairline.models.protocol import Model
from fairline.models.registry import load
from fairline.sources import Payload, Request

FILE = "blend.json"
"""Where `fairline blend` writes the weights, in the user's data folder."""
MAX_WEIGHTS_AGE = timedelta(days=45)
MAX_NOTES_PER_MODEL = 3
MIN_P_SD = 0.011
"""Root mean square distance between a blend and the market's midpoint (docs/models/blend.md)."""


@dataclass(frozen=True, slots=True)
class _Answers:
    """The usable predictions of each model, and notes on what was not usable."""

    predictions: dict[str, pl.DataFrame]
    notes: list[str]


class BlendModel:
    """Other models' opinions next to the market's price, weighted by what they were worth on settled markets.

    It uses the weights that `fairline blend` fits, and prices nothing if they did not beat the price on events left out
    of the fit. Models that use only the exchange's prices are ignored.
    """

    name = "blend"
    version = "1"
    from_prices = True

    def __init__(
        self, models: Sequence[Model] = (), weights: Pool | None = None, *, key: str = FILE, exchange: str = ""
    ) -> None:
        """`models` are those that may be pooled. Without `weights` they are read from `key` in the data folder."""
        self._models = {model.name: model for model in models}
        self._weights = weights
        self._requests = [] if weights else [Request("user", key)]
        self._exchange = exchange

    @classmethod
    def from_settings(cls, settings: ModelSettings) -> Self:
        """Load the models that have a weight at this moment; a running watch reloads its models to use new ones."""
        models = list[Model]()
        # A missing or damaged file is reported when the model reads it as its input.
        with suppress(ConfigError, InputError):
            file = settings.data(settings.fit_key(FILE))
            names = read_pool(file.content, str(file.path)).weighted_models if file else []
            for name in names:
                with suppress(UsageError):  # reported by `predict` as missing
                    models.append(load(name, settings))
        return cls(models, key=settings.fit_key(FILE), exchange=settings.exchange)

    def covers(self, markets: pl.DataFrame) -> pl.Expr:
        models = list(self._models.values())
        covered = [_covers(model, markets) for model in models]
        return is_quoted() & pl.any_horizontal(*covered, pl.lit(value=not models))

    def requests(self, markets: pl.DataFrame, asof: datetime) -> Sequence[Request]:
        """Return the weights, and what the pooled models read."""
        theirs = [request for model in self._models.values() for request in _requests(model, markets, asof)]
        return [*self._requests, *dict.fromkeys(theirs)]

    def predict(self, markets: pl.DataFrame, payloads: Mapping[Request, Payload], asof: datetime) -> pl.DataFrame:
        """Return PREDICTIONS of the markets that at least one model priced. Raises `InputError`."""
        pool = self._read_weights(payloads)
        if pool.fitted_ts > asof:
            message = f"the weights were fitted after {asof:%Y-%m-%d %H:%M} UTC"
            raise InputError(message, remedy="Use a fit on what was known by then")
        if not pool.beats_price:
            message = f"the blend did not beat the price on {pool.events} events"
            raise InputError(message, remedy="Fit it again with more settled markets")
        answers = self._answers(markets, payloads, asof)
        notes = [*answers.notes, *self._weight_notes(pool, asof)]
        tickers = [ticker for rows in answers.predictions.values() for ticker in rows["ticker"]]
        rows = markets.select("ticker", price=midpoint()).filter(pl.col("ticker").is_in(tickers))
        aligned = {name: _align(predictions, rows) for name, predictions in answers.predictions.items()}
        p, p_sd = pool_opinions(rows["price"].to_numpy(), aligned, pool.opinions)
        return to_predictions([priced_rows(rows["ticker"], p, p_sd, MIN_P_SD), *map(note_row, notes)], self.name, asof)

    def _read_weights(self, payloads: Mapping[Request, Payload]) -> Pool:
        if self._weights is not None:
            return self._weights
        (request,) = self._requests
        try:
            body = payloads[request].body
        except InputError as error:
            raise InputError(error.message, remedy="Create it with: fairline blend") from error
        pool = read_pool(body, request.shown)
        check_fit(pool.exchange, self._exchange, request.shown)
        return pool

    def _weight_notes(self, pool: Pool, asof: datetime) -> list[str]:
        missing = sorted(set(pool.weighted_models) - set(self._models))
        notes = [f"{name} has a weight but is not loaded: install it or reload the models" for name in missing]
        if asof - pool.fitted_ts > MAX_WEIGHTS_AGE:
            notes.append(f"the weights date from {pool.fitted_ts:%Y-%m-%d}: refit with fairline blend")
        return notes

    def _answers(self, markets: pl.DataFrame, payloads: Mapping[Request, Payload], asof: datetime) -> _Answers:
        answers = _Answers({}, [])
        for model in self._models.values():
            try:
                covered = markets.filter(model.covers(markets))
                usable, faulty = split_usable(model.predict(covered, payloads, asof))
            except FairlineError as error:
                answers.notes.append(f"{model.name} is left out: {error.message}")
                continue
            except Exception as error:  # noqa: BLE001  third-party code can fail in any way; the others go on
                answers.notes.append(f"{model.name} is left out: {type(error).__name__}: {error}")
                continue
            answers.predictions[model.name] = usable.select("ticker", "p", "p_sd")
            answers.notes.extend(f"{model.name}: {fault}" for fault in faulty["fault"].head(MAX_NOTES_PER_MODEL))
        return answers


def _covers(model: Model, markets: pl.DataFrame) -> pl.Expr:
    try:
        return model.covers(markets)
    except Exception:  # noqa: BLE001  reported when the model predicts
        return pl.lit(value=False)


def _requests(model: Model, markets: pl.DataFrame, asof: datetime) -> Sequence[Request]:
    try:
        covered = markets.filter(model.covers(markets))
        return model.requests(covered, asof) if covered.height else []
    except Exception:  # noqa: BLE001  reported when the model predicts
        return []


def _align(predictions: pl.DataFrame, rows: pl.DataFrame) -> tuple[Floats, Floats]:
    """`p` and `p_sd` in the order of the rows, NaN where a model has none."""
    joined = rows.join(predictions, on="ticker", how="left", maintain_order="left")
    p, p_sd = (joined[name].cast(pl.Float64).fill_null(float("nan")).to_numpy() for name in ("p", "p_sd"))
    return p, p_sd
