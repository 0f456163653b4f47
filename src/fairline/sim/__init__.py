"""A simulated Kalshi exchange, written from the exchange's specification and recordings, independent of any client."""

from fairline.sim.auth import Key, read_public_key, throw_away_pair
from fairline.sim.errors import SimError
from fairline.sim.faults import FAULTS, Fault
from fairline.sim.server import Exchange
from fairline.sim.world import World

__all__ = ["FAULTS", "Exchange", "Fault", "Key", "SimError", "World", "read_public_key", "throw_away_pair"]
