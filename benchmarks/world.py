"""Build MARKETS from a simulated world without a server in between."""

import msgspec
import polars as pl

from fairline.kalshi.wire import Event, Market, Series
from fairline.market.frame import markets_frame, with_context, with_probabilities
from fairline.sim.catalog import WorldCatalog
from fairline.sim.world import World


def list_world(world: World) -> pl.DataFrame:
    catalog, decode = WorldCatalog(world), msgspec.json.Decoder(Market).decode
    frame, rejected = markets_frame([decode(catalog.market(row)) for row in range(len(catalog.tickers))])
    assert not rejected
    events = [msgspec.convert(event.fields, Event, strict=False) for event in catalog.events]
    series = [msgspec.convert(each, Series, strict=False) for each in catalog.series]
    return with_probabilities(with_context(frame, series, events))
