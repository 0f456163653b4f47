"""The one fetcher over a real socket: what passes is asked again, what does not is named."""

import http.server
import os
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from fairline.config.connect import sources_of
from fairline.config.settings import model_key
from fairline.errors import ConfigError, InputError
from fairline.sources import Payload, Request, Shelf, Sources, fetch, replay


class Feed:
    """Answers with each of these in turn, then with the last for ever."""

    def __init__(self, *answers):
        self.answers, self.asked, self.paths = list(answers), 0, []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(handler):  # noqa: N805  `self` is the feed
                self.asked += 1
                self.paths.append(handler.path)
                status, body = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                handler.send_response(status)
                handler.send_header("Content-Length", str(len(body)))
                handler.end_headers()
                handler.wfile.write(body)

            def log_message(handler, *_):  # noqa: N805  `self` is the feed
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.request = Request("https", f"http://127.0.0.1:{self.server.server_port}/candles?granularity=60", 60)
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


async def test_temporary_failures_are_retried():
    with Feed((503, b""), (200, b"[1]")) as feed:
        result = (await fetch([feed.request]))[feed.request]
    assert isinstance(result, Payload)
    assert result.body == b"[1]"
    assert feed.asked == 2


async def test_a_lasting_failure_is_reported_and_affects_no_other(tmp_path):
    path = tmp_path / "x"
    path.write_text("there")
    file = Request("file", str(path))
    with Feed((404, b"no")) as feed:
        result = await fetch([feed.request, file])
    assert isinstance(result[feed.request], InputError)
    assert "cannot fetch http://127.0.0.1/candles (status 404)" in str(result[feed.request])
    assert feed.asked == 1
    assert result[file].body == b"there"


async def test_a_files_content_is_as_old_as_its_modification(tmp_path):
    path = tmp_path / "odds.csv"
    path.write_text("x")
    long_ago = datetime(2026, 11, 1, 12, tzinfo=UTC)
    os.utime(path, (long_ago.timestamp(), long_ago.timestamp()))
    request = Request("file", str(path))
    assert (await fetch([request]))[request].fetched_ts == long_ago


async def test_a_young_payload_is_fetched_once():
    sources = Sources()
    with Feed((200, b"[1]")) as feed:
        for _ in range(3):
            result = await fetch([feed.request], sources)
    assert result[feed.request].body == b"[1]"
    assert feed.asked == 1


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Request("https", "http://example.org/x"), "is not an https address"),
        (Request("https", "ftp://127.0.0.1/x"), "cannot fetch"),
        (Request("https", "http://127.0.0.1:9/x"), "cannot fetch"),
        (Request("telepathy", "x"), "unknown source 'telepathy'. Known sources: https, user, file"),
    ],
)
async def test_an_invalid_request_is_reported_in_one_line(request_, message):
    result = (await fetch([request_]))[request_]
    assert isinstance(result, InputError)
    assert message in str(result)
    assert "\n" not in str(result)


async def test_secrets_in_an_address_are_not_shown():
    for key in ("https://u:secret@127.0.0.1:9/x?api_key=TOPSECRET", "http://u:secret@example.org/?k=TOPSECRET",
                "https://[::1/x?k=TOPSECRET", "https://" + "a" * 70 + ".example/x?k=TOPSECRET"):  # fmt: skip
        request = Request("https", key)
        result = (await fetch([request]))[request]
        assert isinstance(result, InputError)
        assert "secret" not in str(result).lower()


async def test_cached_payloads_serve_later_runs_and_offline_at_any_age(tmp_path):
    cache = Shelf(tmp_path / "inputs")
    with Feed((200, b"one"), (200, b"two")) as feed:
        assert (await fetch([feed.request], Sources(cache=cache)))[feed.request].body == b"one"
        assert (await fetch([feed.request], Sources(cache=cache)))[feed.request].body == b"one", "another run"
        old = Payload(feed.request, datetime(2026, 1, 1, tzinfo=UTC), b"old")
        cache.put(old)
        assert (await fetch([feed.request], Sources(cache=cache, offline=True)))[feed.request] == old
        assert feed.asked == 1
        assert (await fetch([feed.request], Sources(cache=cache)))[feed.request].body == b"two"
    never = (
        await fetch([Request("https", "https://nowhere.invalid/x", 60)], Sources(cache=cache, offline=True))
    ).popitem()[1]
    assert "is not in the cache" in str(never)


async def test_a_recording_is_replayed_with_its_bytes_and_times(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"a\nb\x00")
    file, shelf = Request("file", str(path)), Shelf(tmp_path / "recorded")
    with Feed((200, b"[1]")) as feed:
        result = await fetch([feed.request, file], Sources(record=shelf))
        path.unlink()
        again = replay([feed.request, file, Request("file", "other")], shelf)
    assert {**result, Request("file", "other"): None} | {r: p for r, p in again.items() if isinstance(p, Payload)} == {
        **again,
        Request("file", "other"): None,
    }
    assert "was not recorded" in str(again[Request("file", "other")])


async def test_a_truncated_or_damaged_payload_counts_as_missing(tmp_path):
    request, shelf = Request("https", "https://x.example/"), Shelf(tmp_path)
    shelf.put(Payload(request, datetime(2026, 1, 1, tzinfo=UTC), b"0123456789"))
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    for wrong in (whole[:-1], whole[:10], b"", b"{}\n", b"[1]\nx", whole.replace(b"+00:00", b"")):
        file.write_bytes(wrong)
        assert shelf.get(request) is None, wrong
    file.write_bytes(whole)
    assert shelf.get(request).body == b"0123456789"


async def test_a_folder_that_cannot_be_written_is_reported(tmp_path):
    (tmp_path / "x").write_text("a file")
    file = Request("file", str(tmp_path / "x"))
    with pytest.raises(InputError, match="cannot record inputs"):
        await fetch([file], Sources(record=Shelf(tmp_path / "x")))


async def test_a_key_is_filled_in_when_sent_and_shown_nowhere(tmp_path, caplog):
    asked = []

    def key(name):
        asked.append(name)
        return "se cret/1"

    cache = Shelf(tmp_path / "inputs")
    with Feed((403, b"")) as feed:
        request = Request("https", feed.request.key + "&apiKey={key:the-odds-api}", 60)
        result = (await fetch([request], Sources(keys=key, cache=cache)))[request]
        assert "the key may be wrong" in str(result)
        feed.answers[0] = (200, b"[]")
        result = (await fetch([request], Sources(keys=key, cache=cache, record=Shelf(tmp_path / "r"))))[request]
        assert parse_qs(urlsplit(feed.paths[-1]).query)["apiKey"] == ["se cret/1"]
    assert asked[0] == "the-odds-api"
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*.payload"))
    assert all("cret" not in text for text in (repr(result), caplog.text, written.decode()))


async def test_a_missing_key_is_reported_with_its_place():
    request = Request("https", "https://x.example/?k={key:mine}")
    result = (await fetch([request]))[request]
    assert "https://x.example/ needs a key: there is no key 'mine'" in str(result)


def test_keys_are_read_from_settings_or_the_environment(tmp_path):
    path = tmp_path / "fairline.toml"
    path.write_text('[keys]\nmine = "env:MINE"\nplain = "abc"\n')
    assert model_key("mine", files=(path,), environ={"MINE": "x"}) == "x"
    assert model_key("plain", files=(path,)) == "abc"
    with pytest.raises(ConfigError, match="has no key other"):
        model_key("other", files=(path,))
    with pytest.raises(ConfigError, match="the environment variable MINE is not set"):
        model_key("mine", files=(path,), environ={})


async def test_a_shared_input_is_fetched_once_and_replayed_for_both(tmp_path):
    with Feed((200, b"one"), (200, b"two")) as feed:
        slow, fast = feed.request, replace(feed.request, max_age_s=5)
        cache = Shelf(tmp_path / "inputs")
        cache.put(Payload(slow, datetime.now(UTC) - timedelta(seconds=30), b"old"))
        shelf = Shelf(tmp_path / "recorded")
        result = await fetch([slow, fast], Sources(cache=cache, record=shelf))
        assert {payload.body for payload in result.values()} == {b"one"}
        assert feed.asked == 1
    assert {r: p.body for r, p in replay([slow, fast], shelf).items()} == {r: p.body for r, p in result.items()}


async def test_payloads_without_a_maximum_age_still_serve_offline(tmp_path):
    cache = Shelf(tmp_path / "inputs")
    with Feed((200, b"one")) as feed:
        request = replace(feed.request, max_age_s=0)
        for _ in range(2):
            await fetch([request], Sources(cache=cache))
        assert feed.asked == 2
        assert (await fetch([request], Sources(cache=cache, offline=True)))[request].body == b"one"
        assert feed.asked == 2


async def test_a_payload_from_the_future_is_not_reused(tmp_path):
    cache = Shelf(tmp_path / "inputs")
    with Feed((200, b"now")) as feed:
        future = Payload(feed.request, datetime.now(UTC) + timedelta(days=300), b"future")
        cache.put(future)
        sources = Sources(cache=cache, memory={feed.request: future})
        assert (await fetch([feed.request], sources))[feed.request].body == b"now"


@pytest.mark.parametrize(
    "address",
    [
        "https:///p?k={key:x}", "https://?k={key:x}", "https://{key:x}:{key:x}@/a", "https://{key:x}.invalid/a",
        "https://127.0.0.1:{key:x}/", "http://127.0.0.1:1/?k={key:x}", "https://[::1]:1/{key:x}",
    ],
)  # fmt: skip
@pytest.mark.parametrize("secret", ["TOPSECRET1", "TOP SECRET1/?&", "\udcffTOPSECRET1"])
async def test_no_address_makes_an_error_reveal_a_secret(address, secret):
    request = Request("https", address)
    result = (await fetch([request], Sources(keys=lambda _: secret)))[request]
    assert isinstance(result, InputError)
    assert "SECRET1" not in f"{result}{result!r}"


async def test_a_feed_that_echoes_the_address_reveals_no_secret():
    with Feed((500, b"")) as feed:
        handler = feed.server.RequestHandlerClass
        handler.do_GET = lambda self: self.wfile.write(
            f"HTTP/1.1 200 {self.path}\r\nBad Header {self.path}\r\n\r\n".encode()
        )
        request = Request("https", feed.request.key + "&k={key:x}")
        result = (await fetch([request], Sources(keys=lambda _: "TOPSECRET1")))[request]
        assert "TOPSECRET1" not in str(result)


async def test_one_invalid_file_affects_no_other(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    good = tmp_path / "good"
    good.write_text("there")
    wanted = [Request("file", str(tmp_path / "pipe")), Request("file", "\udcff", 60), Request("file", str(good))]
    cache = Shelf(tmp_path / "inputs")
    result = await fetch(wanted, Sources(cache=cache, record=Shelf(tmp_path / "r")))
    assert [isinstance(result[request], Payload) for request in wanted] == [False, False, True]
    assert "is not a regular file" in str(result[wanted[0]])
    damaged = Request("https", "https://x.example/")
    cache.put(Payload(damaged, datetime(2026, 1, 1, tzinfo=UTC), b""))
    (file,) = cache.folder.glob("*.payload")
    file.write_bytes(b"[" * 200_000)
    assert cache.get(damaged) is None


def test_old_payloads_and_partial_files_are_removed(tmp_path):
    shelf = Shelf(tmp_path)
    request = Request("https", "https://x.example/")
    shelf.put(Payload(request, datetime.now(UTC), b"1"))
    (tmp_path / "tmphalf").write_text("x")
    shelf.tidy(datetime.now(UTC) + timedelta(hours=2))
    assert [path.suffix for path in tmp_path.iterdir()] == [".payload"]
    shelf.tidy(datetime.now(UTC) + timedelta(days=31))
    assert list(tmp_path.iterdir()) == []


async def test_a_feed_is_not_fetched_if_a_file_replaces_it(tmp_path):
    (tmp_path / "odds.json").write_text("[]")
    with Feed((200, b"one")) as feed:
        request = replace(feed.request, unless=("odds.json",))
        sources = Sources(tmp_path)
        assert "was not fetched because a file replaces it" in str((await fetch([request], sources))[request])
        assert feed.asked == 0
        (tmp_path / "odds.json").unlink()
        assert (await fetch([request], sources))[request].body == b"one"


def test_a_recording_is_not_added_to_an_existing_one(tmp_path):
    Shelf(tmp_path).put(Payload(Request("file", "x"), datetime.now(UTC), b"1"))
    with pytest.raises(ConfigError, match="holds a record already"):
        sources_of(record=tmp_path)


async def test_a_recording_made_under_one_home_is_replayed_under_another(tmp_path):
    old_home, new_home = tmp_path / "old", tmp_path / "new"
    for home in (old_home, new_home):
        (home / "results").mkdir(parents=True)
        (home / "results" / "mlb.csv").write_text(f"games of {home.name}")
        (home / "mine.csv").write_text(f"table of {home.name}")
    shelf = Shelf(tmp_path / "recorded")
    results = Request("user", "results/mlb.csv")
    assert results.shown == "user:results/mlb.csv"
    await fetch([results, Request("file", str(old_home / "mine.csv"))], Sources(old_home, record=shelf))
    again = replay([results, Request("file", str(new_home / "mine.csv"))], shelf)
    assert [payload.body for payload in again.values()] == [b"games of old", b"table of old"]
    current = await fetch([results], Sources(new_home))
    assert current[results].body == b"games of new"


async def test_two_files_of_one_name_cannot_be_recorded_together(tmp_path):
    requests = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.csv").write_text(folder)
        requests.append(Request("file", str(tmp_path / folder / "mine.csv")))
    assert len(await fetch(requests)) == 2
    with pytest.raises(InputError, match="would be recorded under the same name. Rename one of the files"):
        await fetch(requests, Sources(record=Shelf(tmp_path / "recorded")))


@pytest.mark.parametrize("key", ["../secret", "/etc/passwd", "a/../../b"])
async def test_a_user_key_stays_inside_the_data_folder(tmp_path, key):
    (result,) = (await fetch([Request("user", key)], Sources(tmp_path))).values()
    assert "leaves the user's data folder" in str(result)


async def test_a_user_key_needs_a_data_folder():
    (result,) = (await fetch([Request("user", "polls.csv")])).values()
    assert "no data folder is set" in str(result)
