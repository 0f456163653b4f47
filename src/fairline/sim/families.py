"""What kinds of events the simulated exchange lists, as data.

Category shares, kinds and sizes follow an index of 9,410 real events and 72,482 real markets of August 2026 (see
`docs/simulator.md`). Names of teams, people and places are invented. `kind` says how the outcomes of an event depend on
each other:

- `game`      two or three markets, exactly one YES
- `spread`    "team wins by over strike" for both teams: two ladders on one strike type in one event
- `props`     "player over strike" for several players: one ladder per player, all on one strike type
- `partition` one market per entrant, at most one YES (an unlisted entrant may win)
- `menu`      one market per entrant, each independent of the others
- `ladder`    "above strike", monotone: if one strike settles YES, so do all lower ones
- `buckets`   "between" strikes with an open end on either side, exactly one YES
- `deadline`  "before date", monotone: if one date settles YES, so do all later ones
- `binary`    a single question
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Family:
    """One type of series.

    `weight` is its share of events, `size` the median and maximum number of markets per event, `days` the range of days
    until an event is decided. Markets of games list a `close_time` that lies `closes_late_days` after the decision, as
    on the exchange, and close early once the outcome is known.
    """

    series: str
    title: str
    category: str
    kind: str
    weight: float
    size: tuple[int, int]
    days: tuple[float, float]
    frequency: str = "custom"
    tags: tuple[str, ...] = ()
    fee_type: str = "quadratic"
    fee_multiplier: float = 1
    unit: str = ""
    start: float = 0
    step: float = 1
    grid: str = "linear_cent"
    closes_late_days: float = 0


# fmt: off
FAMILIES = (
    Family("KXNFLGAME", "{a} at {b}", "Sports", "game", 6, (2, 2), (1, 12), tags=("Football",), fee_type="quadratic_with_maker_fees", closes_late_days=14),
    Family("KXNBAGAME", "{a} at {b}", "Sports", "game", 6, (2, 2), (0.5, 9), tags=("Basketball",), closes_late_days=14),
    Family("KXMLBGAME", "{a} vs {b}", "Sports", "game", 5, (2, 2), (0.5, 6), tags=("Baseball",), fee_type="quadratic_with_maker_fees", fee_multiplier=0.5, closes_late_days=14),
    Family("KXEPLGAME", "{a} vs {b}", "Sports", "game", 5, (3, 3), (1, 14), tags=("Soccer",), closes_late_days=14),
    Family("KXATPMATCH", "{a} vs {b}", "Sports", "game", 6, (2, 2), (0.3, 4), tags=("Tennis",), closes_late_days=14),
    Family("KXNFLTOTAL", "{a} at {b}: total points", "Sports", "ladder", 5, (9, 21), (1, 12), tags=("Football",), unit="points", start=30.5, step=3, closes_late_days=14),
    Family("KXNBASPREAD", "{a} at {b}: spread", "Sports", "spread", 5, (8, 20), (0.5, 9), tags=("Basketball",), unit="points", start=1.5, step=2, closes_late_days=14),
    Family("KXMLBKS", "{a} vs {b}: strikeouts", "Sports", "props", 6, (10, 40), (0.5, 5), tags=("Baseball",), fee_multiplier=0.5, unit="strikeouts", start=2.5, closes_late_days=14),
    Family("KXNFLTD", "{a} at {b}: touchdown scorers", "Sports", "menu", 5, (16, 60), (1, 10), tags=("Football",), closes_late_days=14),
    Family("KXCHAMP", "{a} League champion", "Sports", "partition", 3, (24, 64), (60, 300), frequency="annual", tags=("Basketball",)),
    Family("KXHOUSERACE", "{a} district {n} winner", "Elections", "partition", 12, (2, 9), (120, 720), frequency="one_off", tags=("House",)),
    Family("KXSENATERACE", "{a} Senate winner", "Elections", "partition", 8, (3, 12), (120, 720), frequency="one_off", tags=("Senate",)),
    Family("KXPRIMARY", "{a} primary nominee", "Elections", "partition", 4, (9, 40), (60, 500), frequency="one_off", tags=("Primaries",), grid="tapered_deci_cent"),
    Family("KXAWARD", "{a} award winner", "Entertainment", "partition", 3, (7, 30), (20, 150), frequency="annual", tags=("Awards",)),
    Family("KXALBUM", "{a} chart position", "Entertainment", "menu", 2, (10, 50), (5, 30), frequency="weekly", tags=("Music",)),
    Family("KXLEAVE", "Who leaves the {a} cabinet?", "Politics", "menu", 3, (8, 60), (30, 400), frequency="one_off", tags=("Cabinet",)),
    Family("KXBILL", "Will the {a} bill become law?", "Politics", "deadline", 3, (4, 9), (30, 300), frequency="one_off", tags=("Congress",)),
    Family("KXINX", "{a} index close", "Financials", "ladder", 3, (20, 60), (0.2, 5), frequency="daily", tags=("Indices",), unit="points", start=5200, step=25),
    Family("KXRATE", "{a} mortgage rate", "Financials", "ladder", 2, (9, 20), (5, 90), frequency="weekly", tags=("Rates",), unit="%", start=5.5, step=0.05),
    Family("KXCPI", "{a} inflation", "Economics", "ladder", 3, (8, 15), (10, 120), frequency="monthly", tags=("Inflation",), unit="%", start=1.9, step=0.1),
    Family("KXGDP", "{a} growth", "Economics", "buckets", 1, (9, 14), (20, 120), frequency="quarterly", tags=("Growth",), unit="%", start=0.5, step=0.5),
    Family("KXHIGH", "Highest temperature in {a}", "Climate and Weather", "buckets", 1.5, (6, 6), (0.3, 2), frequency="daily", tags=("Daily temperature",), unit="°", start=48, step=2),
    Family("KXMISSION", "Will {a} launch?", "Science and Technology", "deadline", 1.3, (4, 10), (20, 400), frequency="one_off", tags=("Space",)),
    Family("KXBTC", "{a} price range", "Crypto", "buckets", 0.5, (60, 200), (0.05, 1), frequency="hourly", tags=("BTC",), unit="$", start=88000, step=250),
    Family("KXETHD", "{a} price above", "Crypto", "ladder", 0.6, (40, 120), (0.05, 1), frequency="hourly", tags=("ETH",), unit="$", start=2600, step=20, grid="center_half_edge_half_cent"),
    Family("KXEARNINGS", "What will {a} say on the call?", "Mentions", "menu", 0.8, (12, 40), (2, 30), tags=("Earnings",)),
    Family("KXWTI", "{a} oil price", "Commodities", "ladder", 0.6, (16, 40), (0.5, 7), frequency="daily", tags=("Oil",), unit="$", start=58, step=0.5),
    Family("KXCEO", "Will {a} change its CEO?", "Companies", "binary", 4, (1, 1), (60, 500), frequency="one_off", tags=("CEOs",)),
    Family("KXTREATY", "Will {a} sign the treaty?", "World", "binary", 4, (1, 1), (60, 700), frequency="one_off", tags=("Diplomacy",), fee_multiplier=0),
    Family("KXVACCINE", "Will {a} approve the vaccine?", "Health", "binary", 2, (1, 1), (60, 500), frequency="one_off", tags=("Medicine",)),
)
# fmt: on

# Parlays on several markets. They have their own series and category and make up most of an unfiltered listing; the
# caller of `World` chooses how many there are.
COMBO = Family(
    "KXMVECROSSCATEGORY",
    "Combo",
    "Exotics",
    "combo",
    0,
    (1, 1),
    (0.05, 3),
    fee_type="quadratic_with_combo_maker_fees",
    grid="center_deci_edge_centi_cent",
)

# Tick grids as the exchange describes them: price ranges with a step, in dollars.
GRIDS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "linear_cent": (("0.0000", "1.0000", "0.0100"),),
    "tapered_deci_cent": (
        ("0.0000", "0.1000", "0.0010"),
        ("0.1000", "0.9000", "0.0100"),
        ("0.9000", "1.0000", "0.0010"),
    ),
    "center_half_edge_half_cent": (("0.0000", "1.0000", "0.0050"),),
    "center_deci_edge_centi_cent": (
        ("0.0000", "0.1000", "0.0001"),
        ("0.1000", "0.9000", "0.0010"),
        ("0.9000", "1.0000", "0.0001"),
    ),
}
GRID_NAMES = tuple(GRIDS)


def ticks(grid: str) -> tuple[int, int]:
    """Return the tick in the middle and the tick at the edges, in 1/10,000 dollar."""
    return {"linear_cent": (100, 100), "tapered_deci_cent": (100, 10), "center_half_edge_half_cent": (50, 50)}.get(
        grid, (10, 1)
    )


SYLLABLES = (
    *("bel", "car", "dor", "fen", "gal", "har", "jor", "kel", "lan", "mar"),
    *("nor", "ost", "pel", "quin", "rav", "sol", "tor", "ul", "ver", "wes"),
)
ENDINGS = ("dale", "ford", "ham", "mont", "port", "stad", "ton", "ville", "wick", "worth")
