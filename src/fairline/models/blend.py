"""Several models and the market as one opinion, by their record."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import platformdirs
import polars as pl

from fairline.errors import FairlineError, InputError, UsageError
from fairline.models.answer import answered, told
from fairline.models.checks import usable
from fairline.models.pool import Floats, pooled, read_pool
from fairline.models.protocol import Model
from fairline.models.registry import load
from fairline.sources import Payload, Request

FILE = "blend.json"
_OLD = timedelta(days=45)
_MOST_NOTES = 3


def blend_path() -> str:
    """Where `fairline blend` puts the weights, and this model looks for them."""
    return str(platformdirs.user_data_path("fairline") / FILE)


class BlendModel:
    """Other models' opinions beside the market's price, each by what it was worth on settled markets.

    It reads the weights that `fairline blend` fits, and prices nothing if they did not beat the price on events left
    out of the fit. Models that are made of the market's own prices have no voice.
    """

    name, version = "blend", "1"
    from_prices = True

    def __init__(self) -> None:
        self._models: dict[str, Model] = {}
        self._read_ns = -1

    def _voices(self) -> list[Model]:
        """The models with a weight, by the file as it is now: a watch goes on for months."""
        path = Path(blend_path())
        with suppress(OSError, InputError):  # the file is read again, as an input, and what is wrong said then
            changed = path.stat().st_mtime_ns
            if changed != self._read_ns:
                pool = read_pool(path.read_bytes(), str(path))
                names = [name for voice in pool.voices if voice.weight > 0 and pool.better for name in voice.models]
                self._models, self._read_ns = {}, changed
                for name in names:
                    with suppress(UsageError):
                        self._models[name] = load(name)
        return list(self._models.values())

    def covers(self, markets: pl.DataFrame) -> pl.Expr:
        two = pl.col("yes_bid_u").is_not_null() & pl.col("yes_ask_u").is_not_null()
        voices = self._voices()
        theirs = pl.any_horizontal(*(_covers(model, markets) for model in voices), pl.lit(value=not voices))
        return two & (pl.col("status") == "active") & (pl.col("market_type") == "binary") & theirs

    def requests(self, markets: pl.DataFrame, asof: datetime) -> Sequence[Request]:
        """The weights, and what the models with a weight read."""
        theirs = [request for model in self._voices() for request in _requests(model, markets, asof)]
        return [Request("file", blend_path()), *dict.fromkeys(theirs)]

    def predict(self, markets: pl.DataFrame, payloads: Mapping[Request, Payload], asof: datetime) -> pl.DataFrame:
        """PREDICTIONS of the markets of which at least one model said something. Raises `InputError`."""
        pool = read_pool(payloads[Request("file", blend_path())].body, blend_path())
        if pool.fitted_ts > asof:
            raise InputError(f"{blend_path()} was fitted later than it is used", remedy="Fit on what was known by then")
        if not pool.better:
            raise InputError(f"on {pool.events} events the blend was not better than the price", remedy="Watch on")
        said, notes = self._said(markets, payloads, asof)
        weighted = {name for voice in pool.voices if voice.weight > 0 for name in voice.models}
        notes += [f"{name} has a weight and is not installed" for name in sorted(weighted - set(self._models))]
        if asof - pool.fitted_ts > _OLD:
            notes.append(f"the weights are of {pool.fitted_ts:%Y-%m-%d}: fit them again with fairline blend")
        rows = markets.select("ticker", price=(pl.col("yes_bid_u") + pl.col("yes_ask_u")) / 2e6)
        spoken = [ticker for made in said.values() for ticker in made["ticker"]]
        rows = rows.filter(pl.col("ticker").is_in(spoken))
        opinions = {name: _aligned(made, rows) for name, made in said.items()}
        p, doubt = pooled(rows["price"].to_numpy(), opinions, pool.voices)
        bounded = np.minimum(doubt, np.sqrt(p * (1 - p)))
        priced = rows.select("ticker", p=pl.Series(p), p_sd=pl.Series(bounded), note=pl.lit(None, dtype=pl.String))
        return answered([priced, *map(told, notes)], self.name, asof)

    def _said(
        self, markets: pl.DataFrame, payloads: Mapping[Request, Payload], asof: datetime
    ) -> tuple[dict[str, pl.DataFrame], list[str]]:
        """What each model said, and who could not."""
        said, notes = dict[str, pl.DataFrame](), list[str]()
        for model in self._voices():
            try:
                covered = markets.filter(model.covers(markets))
                made, faulty = usable(model.predict(covered, payloads, asof))
            except FairlineError as error:
                notes.append(f"{model.name} is silent: {error.message}")
                continue
            except Exception as error:  # noqa: BLE001  a stranger's code; the others go on
                notes.append(f"{model.name} is silent: {type(error).__name__}: {error}")
                continue
            said[model.name] = made.select("ticker", "p", "p_sd")
            notes += [f"{model.name}: {fault}" for fault in faulty["fault"].head(_MOST_NOTES)]
        return said, notes


def _covers(model: Model, markets: pl.DataFrame) -> pl.Expr:
    try:
        return model.covers(markets)
    except Exception:  # noqa: BLE001  said when it is asked to predict
        return pl.lit(value=False)


def _requests(model: Model, markets: pl.DataFrame, asof: datetime) -> Sequence[Request]:
    try:
        covered = markets.filter(model.covers(markets))
        return model.requests(covered, asof) if covered.height else []
    except Exception:  # noqa: BLE001  said when it is asked to predict
        return []


def _aligned(made: pl.DataFrame, rows: pl.DataFrame) -> tuple[Floats, Floats]:
    mine = rows.join(made, on="ticker", how="left", maintain_order="left")
    p, p_sd = (mine[name].cast(pl.Float64).fill_null(float("nan")).to_numpy() for name in ("p", "p_sd"))
    return p, p_sd
