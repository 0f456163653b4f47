"""Tables by maps: real recordings with their counts and hashes, and the faults of files and maps."""

import hashlib
import io
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from fairline.errors import InputError, StoreError
from fairline.store.ingest.batch import IngestStore
from fairline.store.ingest.maps import read_map
from fairline.store.ingest.table import ingest_table
from fairline.store.store import Store

MAPS = Path(__file__).resolve().parents[4] / "examples" / "maps"
LIFE = "kalshi_market_life_candles_trades_2026-09"

RECORDED = [
    (
        "weather-candles",
        "kalshi_weather_nyc_high_candles_2026-02_03/candles_hourly.csv.gz",
        15_114,
        {"quotes": (14_718, "394a9379c6b38832")},
    ),
    (
        "weather-markets",
        "kalshi_weather_nyc_high_candles_2026-02_03/markets.csv",
        396,
        {"facts": (396, "31e33e1def49058d"), "settlements": (396, "cc503cec1a64f31c")},
    ),
    (
        "sports-quotes",
        "kalshi_sports_price_history_and_result_2026-07/quotes.csv.gz",
        19_970,
        {
            "quotes": (19_970, "239f16b579a9fbd8"),
            "facts": (307, "92f4ce17f79e7732"),
            "settlements": (307, "f08cbe8cde1ac110"),
        },
    ),
    (
        "crypto-ladders",
        "kalshi_crypto_hourly_ladders_2026-07-03_12/ladders_with_spot_and_result.parquet",
        77_097,
        {
            "quotes": (77_096, "18bbb5d351c480d0"),
            "facts": (38_924, "1206aaecead26e6f"),
            "settlements": (38_924, "e0e2be607371da59"),
        },
    ),
    (
        "mlb-closing-prices",
        "kalshi_mlb_games_close_price_2025/kalshi_mlb_games.csv",
        2_202,
        {
            "quotes": (2_200, "6054ed9fe87c124d"),
            "facts": (2_202, "0f3ee887141c1b5d"),
            "settlements": (2_202, "31d1f1a71a52127c"),
        },
    ),
    (
        "daily-mids",
        "kalshi_daily_mid_prices_2026-02_08/daily_mid.parquet",
        100_478,
        {"quotes": (100_474, "bbe647cdbebec31d")},
    ),
    ("recorded-candles", f"{LIFE}/candlesticks_1m.json", 16, {"quotes": (15, "8522c2b8a0b412c0")}),
    ("recorded-trades", f"{LIFE}/trades.json", 12, {"trades": (12, "762f4ffa058bf9b7")}),
    (
        "recorded-market",
        f"{LIFE}/market_settled.json",
        1,
        {"facts": (1, "ae5b2fb58571f316"), "settlements": (1, "bc44dabcff46dc36")},
    ),
]
"""Map, file, rows in the file, and per dataset the rows kept and the hash of their core columns."""

CORE = {
    "quotes": ("seen_ts", "ticker", "yes_bid_u", "yes_ask_u", "yes_bid_size_cc", "last_price_u"),
    "facts": ("seen_ts", "ticker", "event_ticker", "close_ts", "floor_strike", "cap_strike"),
    "settlements": ("seen_ts", "ticker", "event_ticker", "result", "payout_u"),
    "trades": ("seen_ts", "ticker", "trade_id", "price_u", "count_cc", "taker_side"),
}


def digest(rows, dataset):
    text = rows.select(CORE[dataset]).sort(["ticker", "seen_ts"]).write_csv()
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@pytest.fixture
def target(tmp_path):
    with IngestStore(tmp_path / "store", "production") as target:
        yield target


@pytest.mark.parametrize(("name", "file", "read", "expected"), RECORDED, ids=[row[0] for row in RECORDED])
def test_recorded_tables_are_read_with_their_counts_and_hashes(shared, target, name, file, read, expected):
    report = ingest_table(shared / file, read_map(MAPS / f"{name}.toml"), target)
    target.merge()
    assert report.read == read
    rows = {dataset: target.store.read(dataset) for dataset in expected}
    assert {dataset: (table.height, digest(table, dataset)) for dataset, table in rows.items()} == expected
    assert set().union(*(table["source"] for table in rows.values())) == {f"table:{name}"}


def test_missing_sides_of_recorded_candles_are_null(shared, target):
    ingest_table(shared / RECORDED[0][1], read_map(MAPS / "weather-candles.toml"), target)
    target.merge()
    quotes = target.store.read("quotes")
    # Of 15,114 candles 5,191 have a bid of 0 and 844 an ask of 1; the 396 with both are those after the close.
    assert (quotes["yes_bid_u"].null_count(), quotes["yes_ask_u"].null_count()) == (5_191 - 396, 844 - 396)


def test_every_map_of_the_examples_is_tested():
    assert sorted(path.stem for path in MAPS.glob("*.toml")) == sorted(row[0] for row in RECORDED)


def test_a_recorded_game_is_priced_without_sizes_and_settled(shared, target):
    ingest_table(shared / RECORDED[4][1], read_map(MAPS / "mlb-closing-prices.toml"), target)
    target.merge()
    markets = target.store.asof(datetime(2025, 4, 16, 20, tzinfo=UTC))
    row = markets.filter(pl.col("ticker") == "KXMLBGAME-25APR16KCNYY-NYY").row(0, named=True)
    assert (row["yes_bid_u"], row["yes_ask_u"], row["p_mid"]) == (580_000, 590_000, 0.585)
    assert row["yes_bid_size_cc"] is row["yes_ask_size_cc"] is None, "the size is unknown, not zero"


MAP = """
name = "mine"
[[rows]]
dataset = "quotes"
time = { column = "at" }
columns = { ticker = "market", yes_bid = "bid", yes_ask = "ask" }
prices = "cents"
"""


def write(tmp_path, text=MAP, rows="at,market,bid,ask\n2026-01-05 12:00:00,A,40,45\n"):
    (tmp_path / "map.toml").write_text(text)
    (tmp_path / "quotes.csv").write_text(rows)
    return tmp_path / "quotes.csv", tmp_path / "map.toml"


def ingest(target, file, table_map):
    report = ingest_table(file, read_map(table_map), target)
    target.merge()
    return report


def test_a_repeat_costs_nothing_and_a_changed_file_replaces_its_rows(tmp_path, target):
    ingest(target, *write(tmp_path))
    assert ingest(target, *write(tmp_path)) is None
    ingest(target, *write(tmp_path, rows="at,market,bid,ask\n2026-01-06 12:00:00,B,50,55\n"))
    assert target.store.read("quotes").select("ticker", "yes_bid_u").rows() == [("B", 500_000)]


def test_two_maps_share_a_store_and_replace_only_their_own_rows(tmp_path, target):
    ingest(target, *write(tmp_path))
    other = MAP.replace('"mine"', '"other"')
    ingest(target, *write(tmp_path, text=other, rows="at,market,bid,ask\n2026-01-05 13:00:00,A,41,45\n"))
    ingest(target, *write(tmp_path, rows="at,market,bid,ask\n2026-01-05 14:00:00,A,42,45\n"))
    assert sorted(target.store.read("quotes")["yes_bid_u"]) == [410_000, 420_000]


@pytest.mark.parametrize(
    ("zone", "format_", "text", "expected"),
    [
        ("UTC", "iso", "2026-01-05T12:00:00Z", 12),
        ("UTC", "iso", "2026-01-05T12:00:00.123456+02:00", 10),
        ("America/New_York", "iso", "2026-01-05 12:00:00", 17),
        ("America/New_York", "%d/%m/%Y %H:%M", "05/01/2026 12:00", 17),
        ("UTC", "unix", "1767614400", 12),
    ],
)
def test_times_are_read_in_their_zone(tmp_path, target, zone, format_, text, expected):
    time = f'time = {{ column = "at", format = "{format_}", zone = "{zone}" }}'
    table_map = MAP.replace('time = { column = "at" }', time)
    ingest(target, *write(tmp_path, table_map, f"at,market,bid,ask\n{text},A,40,45\n"))
    assert target.store.read("quotes")["seen_ts"][0].hour == expected


def test_numbers_are_in_the_maps_unit_and_text_is_in_dollars(tmp_path, target):
    ingest(target, *write(tmp_path, rows='at,market,bid,ask\n2026-01-05,A,40,"0.4500"\n2026-01-05,B,41,x\n'))
    rows = target.store.read("quotes").select("ticker", "yes_bid_u", "yes_ask_u").sort("ticker").rows()
    assert rows == [("A", 400_000, 450_000), ("B", 410_000, None)]


def test_a_quote_with_neither_side_is_left_out_and_counted(tmp_path, target):
    report = ingest(target, *write(tmp_path, rows="at,market,bid,ask\n2026-01-05,A,0,100\n2026-01-05,B,0,5\n"))
    assert (report.rows, report.dropped) == ({"quotes": 1}, {"quotes": 1})


def test_forecasts_become_predictions(tmp_path, target):
    table_map = """
name = "desk"
[[rows]]
dataset = "predictions"
time = { column = "at" }
columns = { ticker = "market", p = "p" }
constants = { model = "desk" }
"""
    ingest(target, *write(tmp_path, table_map, "at,market,p\n2026-01-05,A,0.4\n2026-01-05,B,1.4\n"))
    assert target.store.read("predictions").select("ticker", "model", "p").rows() == [("A", "desk", 0.4)]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("quotes", "quote"), "cannot use the map .*: Invalid enum value 'quote'"),
        (("name =", "nam ="), "unknown field `nam`"),
        (("ticker = ", "tickers = "), "has an unknown column 'tickers'. Known: yes_bid"),
        (('ticker = "market", ', ""), "has no column 'ticker' for quotes"),
        (('"bid"', '"bit"'), "has no column 'bit'. Its columns: at, market, bid, ask"),
        (('{ column = "at" }', '{ column = "at", shift = "soon" }'), "is invalid: invalid shift"),
        (("[[rows]]", "[[rows"), "cannot use the map"),
    ],
)
def test_a_faulty_map_is_one_line_that_names_the_fault(tmp_path, target, change, expected):
    with pytest.raises(InputError, match=expected) as raised:
        ingest(target, *write(tmp_path, MAP.replace(*change)))
    assert "\n" not in str(raised.value)


def test_a_file_of_another_format_is_one_line(tmp_path, target):
    file, table_map = write(tmp_path)
    with pytest.raises(InputError, match="has no known format. Expected .csv"):
        ingest(target, file.rename(tmp_path / "quotes.xlsx"), table_map)


def test_all_formats_give_the_same_rows(tmp_path, target):
    frame = pl.DataFrame({"at": ["2026-01-05"], "market": ["A"], "bid": [40], "ask": [45]})
    (tmp_path / "map.toml").write_text(MAP)
    writers = {
        "csv": lambda: frame.write_csv().encode(),
        "parquet": lambda: _parquet(frame),
        "json": lambda: frame.write_json().encode(),
        "jsonl": lambda: frame.write_ndjson().encode(),
    }
    for suffix, content in writers.items():
        path = tmp_path / f"quotes.{suffix}"
        path.write_bytes(content())
        ingest(target, path, tmp_path / "map.toml")
        assert target.store.read("quotes").select("ticker", "yes_bid_u").rows() == [("A", 400_000)]


def _parquet(frame):
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def test_the_store_of_a_watch_is_refused(tmp_path):
    (tmp_path / "state.sqlite").write_bytes(b"")
    with pytest.raises(StoreError, match="is the store of a watch. Ingest into a folder of its own"):
        IngestStore(tmp_path, "production")


def test_what_was_kept_before_a_kill_is_merged_by_the_next_run(tmp_path):
    first = IngestStore(tmp_path / "store", "production")
    first.__enter__()
    ingest_table(*[write(tmp_path)[0], read_map(tmp_path / "map.toml")], first)
    first.store.release()  # killed before the merge
    with IngestStore(tmp_path / "store", "production") as second:
        assert ingest_table(tmp_path / "quotes.csv", read_map(tmp_path / "map.toml"), second) is None
    assert Store(tmp_path / "store").read("quotes").height == 1


def test_a_merge_that_was_killed_after_writing_the_days_repeats_nothing(tmp_path, monkeypatch):
    with IngestStore(tmp_path / "store", "production") as target:
        ingest_table(write(tmp_path)[0], read_map(tmp_path / "map.toml"), target)
        with monkeypatch.context() as patch:
            patch.setattr(target.store, "append", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                target.merge()
        target.merge()
        assert target.store.read("quotes").height == target.store.read("coverage").height == 1
