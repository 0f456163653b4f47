"""The exchange's daily files: both forms, rewritten days, missing files and what their numbers mean."""

import gzip
import json
from datetime import UTC, date, datetime

import pytest

from fairline.errors import InputError
from fairline.kalshi.http import Response
from fairline.store.ingest import daily
from fairline.store.ingest.batch import IngestStore
from fairline.store.ingest.daily import DailyArchive, ingest_file, recognize

DAY = date(2026, 6, 12)
MARKET = {"date": "2026-06-12", "ticker_name": "KXEXAMPLE-26JUN12-T80", "old_ticker_name": "EX-26JUN12-T80",
          "report_ticker": "KXEXAMPLE", "payout_type": "Binary Option", "open_interest": "1520",
          "daily_volume": "311.25", "block_volume": "0", "high": "57", "low": "41.5", "status": "active"}  # fmt: skip
TRADE = {"date": "2026-06-12", "ticker_name": "KXEXAMPLE-26JUN12-T80", "report_ticker": "KXEXAMPLE",
         "create_ts": "2026-06-12T14:03:22.123456Z", "contracts_traded": "12.50", "price": "57"}  # fmt: skip


@pytest.fixture
def target(tmp_path):
    with IngestStore(tmp_path / "store", "production") as target:
        yield target


def write(tmp_path, name, rows, *, packed=True):
    content = json.dumps(rows).encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if packed else content)
    return recognize(path)


def read(target, dataset):
    target.merge()
    return target.store.read(dataset)


def test_a_market_row_is_read_with_numbers_as_text(tmp_path, target):
    assert ingest_file(write(tmp_path, "market_data_2026-06-12.json.gz", [MARKET]), target) == 1
    row = read(target, "daily").row(0, named=True)
    assert (row["ticker"], row["day"], row["status"]) == ("KXEXAMPLE-26JUN12-T80", DAY, "active")
    assert (row["high_u"], row["low_u"]) == (570_000, 415_000)
    assert (row["volume_cc"], row["open_interest_cc"], row["block_volume_cc"]) == (31_125, 152_000, 0)
    assert row["seen_ts"] == datetime(2026, 6, 13, 12, tzinfo=UTC), "published on the next day"


def test_the_plain_form_with_numbers_is_read_too(tmp_path, target):
    old = MARKET | {"open_interest": 1520, "daily_volume": 311, "high": 57, "low": 0}
    ingest_file(write(tmp_path, "market_data_2023-06-12.json", [old], packed=False), target)
    row = read(target, "daily").row(0, named=True)
    assert (row["high_u"], row["low_u"], row["volume_cc"]) == (570_000, None, 31_100)


def test_high_and_low_become_no_quotes(tmp_path, target):
    ingest_file(write(tmp_path, "market_data_2026-06-12.json.gz", [MARKET]), target)
    assert read(target, "quotes").is_empty()


def test_equal_trades_are_different_trades(tmp_path, target):
    assert ingest_file(write(tmp_path, "trade_data_2026-06-12.json.gz", [TRADE, TRADE]), target) == 2
    trades = read(target, "trades")
    assert trades.select("price_u", "count_cc").rows() == [(570_000, 1_250)] * 2
    assert trades["seen_ts"][0] == datetime(2026, 6, 12, 14, 3, 22, 123_456, tzinfo=UTC)


def test_the_same_file_costs_nothing_and_a_rewritten_one_replaces_its_day(tmp_path, target):
    file = write(tmp_path, "trade_data_2026-06-12.json.gz", [TRADE, TRADE])
    other = write(tmp_path, "trade_data_2026-06-13.json.gz", [TRADE | {"create_ts": "2026-06-13T01:00:00Z"}])
    assert (ingest_file(file, target), ingest_file(other, target)) == (2, 1)
    target.merge()
    assert ingest_file(file, target) == 0
    rewritten = write(tmp_path, "trade_data_2026-06-12.json.gz", [TRADE | {"price": "58"}])
    assert ingest_file(rewritten, target) == 1
    assert sorted(read(target, "trades")["price_u"]) == [570_000, 580_000]


def test_a_file_that_becomes_empty_deletes_its_rows(tmp_path, target):
    ingest_file(write(tmp_path, "trade_data_2026-06-12.json.gz", [TRADE]), target)
    target.merge()
    ingest_file(write(tmp_path, "trade_data_2026-06-12.json.gz", []), target)
    assert read(target, "trades").is_empty()
    assert [entry.state for entry in target.of_source("daily-trade:2026-06-12")].count("empty") == 1


def test_a_file_is_read_in_parts(tmp_path, target, monkeypatch):
    monkeypatch.setattr(daily, "_PIECE", 100)
    monkeypatch.setattr(daily, "_PART_ROWS", 3)
    rows = [TRADE | {"create_ts": f"2026-06-12T14:03:{second:02}Z"} for second in range(10)]
    assert ingest_file(write(tmp_path, "trade_data_2026-06-12.json.gz", rows), target) == 10
    assert read(target, "trades")["created_ts"].n_unique() == 10


def test_a_truncated_file_is_an_error_and_not_a_shorter_day(tmp_path, target):
    file = write(tmp_path, "trade_data_2026-06-12.json", [TRADE] * 3, packed=False)
    file.path.write_bytes(file.path.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"cannot read .* \(the file ends within a row\)"):
        ingest_file(file, target)
    packed = write(tmp_path, "trade_data_2026-06-13.json.gz", [TRADE] * 3)
    packed.path.write_bytes(packed.path.read_bytes()[:-10])
    with pytest.raises(InputError, match="cannot read"):
        ingest_file(packed, target)


def test_a_file_with_another_name_is_refused(tmp_path):
    with pytest.raises(InputError, match="is not named like a daily file"):
        recognize(tmp_path / "trades.json")


class Server:
    """The folder of daily files as a function."""

    def __init__(self, **files):
        self.files, self.requested = files, []

    async def __call__(self, request, write):
        name = request.url.rsplit("/", 1)[1]
        self.requested.append(name)
        content = self.files.get(name.replace(".", "_").replace("-", "_"))
        if content is None:
            return Response(404, {})
        etag = f'"{hash(content)}"'
        if request.headers.get("If-None-Match") == etag:
            return Response(304, {})
        write(content)
        return Response(200, {"ETag": etag, "Last-Modified": "Sat, 13 Jun 2026 06:30:00 GMT"})


async def ingest(server, target):
    return [each async for each in DailyArchive(server, "http://x/").ingest(DAY, DAY, target)]


async def test_both_names_are_tried_and_a_missing_file_is_not_an_empty_day(target):
    server = Server(market_data_2026_06_12_json=json.dumps([MARKET]).encode())
    assert await ingest(server, target) == [("market_data_2026-06-12.json", 1)]
    assert server.requested[:2] == ["market_data_2026-06-12.json.gz", "market_data_2026-06-12.json"]
    assert [(entry.source, entry.state) for entry in target.entries("file")] == [("daily-trade:2026-06-12", "missing")]
    assert read(target, "daily")["seen_ts"][0] == datetime(2026, 6, 13, 6, 30, tzinfo=UTC)


async def test_an_unchanged_file_is_not_downloaded_again_and_a_missing_one_is_asked_for_again(target):
    server = Server(market_data_2026_06_12_json_gz=gzip.compress(json.dumps([MARKET]).encode()))
    await ingest(server, target)
    target.merge()
    assert await ingest(server, target) == []
    server.files["trade_data_2026_06_12_json_gz"] = gzip.compress(json.dumps([TRADE]).encode())
    assert await ingest(server, target) == [("trade_data_2026-06-12.json.gz", 1)]
