"""Several models and the market as one opinion, by their record."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import platformdirs
import polars as pl

from fairline.errors import FairlineError, InputError, UsageError
from fairline.frame import PREDICTIONS
from fairline.models.protocol import Model
from fairline.models.registry import load
from fairline.pool import Floats, pooled, read_pool
from fairline.sources import Payload, Request

FILE = "blend.json"
_OLD = timedelta(days=45)


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
        self._models: list[Model] = []
        names: list[str] = []
        with suppress(OSError, InputError):  # the file is read again, as an input, and what is wrong said then
            pool = read_pool(Path(blend_path()).read_bytes(), blend_path())
            names = [name for voice in pool.voices if voice.weight > 0 and pool.better for name in voice.models]
        for name in names:
            with suppress(UsageError):
                self._models.append(load(name))

    def covers(self, markets: pl.DataFrame) -> pl.Expr:
        two = pl.col("yes_bid_u").is_not_null() & pl.col("yes_ask_u").is_not_null()
        theirs = pl.any_horizontal(*(model.covers(markets) for model in self._models), pl.lit(value=not self._models))
        return two & (pl.col("status") == "active") & (pl.col("market_type") == "binary") & theirs

    def requests(self, markets: pl.DataFrame, asof: datetime) -> Sequence[Request]:
        """The weights, and what the models with a weight read."""
        theirs = [r for model in self._models for r in model.requests(markets.filter(model.covers(markets)), asof)]
        return [Request("file", blend_path()), *dict.fromkeys(theirs)]

    def predict(self, markets: pl.DataFrame, payloads: Mapping[Request, Payload], asof: datetime) -> pl.DataFrame:
        """PREDICTIONS of the markets of which at least one model said something. Raises `InputError`."""
        pool = read_pool(payloads[Request("file", blend_path())].body, blend_path())
        if pool.fitted_ts > asof:
            raise InputError(f"{blend_path()} was fitted later than it is used", remedy="Fit on what was known by then")
        if not pool.better:
            raise InputError(f"on {pool.events} events the blend was not better than the price", remedy="Watch on")
        said, notes = self._said(markets, payloads, asof)
        if asof - pool.fitted_ts > _OLD:
            notes.append(f"the weights are of {pool.fitted_ts:%Y-%m-%d}: fit them again with fairline blend")
        rows = markets.select("ticker", price=(pl.col("yes_bid_u") + pl.col("yes_ask_u")) / 2e6)
        spoken = [ticker for made in said.values() for ticker in made["ticker"]]
        rows = rows.filter(pl.col("ticker").is_in(spoken))
        opinions = {name: _aligned(made, rows) for name, made in said.items()}
        p, doubt = pooled(rows["price"].to_numpy(), opinions, pool.voices)
        bounded = np.minimum(doubt, np.sqrt(p * (1 - p)))
        priced = rows.select("ticker", p=pl.Series(p), p_sd=pl.Series(bounded), note=pl.lit(None, dtype=pl.String))
        noted = pl.DataFrame({"note": notes}, schema={"note": pl.String})
        made = pl.concat([priced, noted], how="diagonal")
        at = pl.lit(asof).cast(PREDICTIONS["asof"])
        return made.with_columns(model=pl.lit(self.name), asof=at).select(PREDICTIONS.names())

    def _said(
        self, markets: pl.DataFrame, payloads: Mapping[Request, Payload], asof: datetime
    ) -> tuple[dict[str, pl.DataFrame], list[str]]:
        """What each model said, and who could not."""
        said, notes = dict[str, pl.DataFrame](), list[str]()
        for model in self._models:
            try:
                made = model.predict(markets.filter(model.covers(markets)), payloads, asof)
                said[model.name] = made.filter(pl.col("p").is_not_null()).select("ticker", "p", "p_sd")
            except FairlineError as error:
                notes.append(f"{model.name} is silent: {error.message}")
        return said, notes


def _aligned(made: pl.DataFrame, rows: pl.DataFrame) -> tuple[Floats, Floats]:
    mine = rows.join(made, on="ticker", how="left", maintain_order="left")
    p, p_sd = (mine[name].cast(pl.Float64).fill_null(float("nan")).to_numpy() for name in ("p", "p_sd"))
    return p, p_sd
