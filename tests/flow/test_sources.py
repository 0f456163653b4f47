"""The one fetcher over a real socket: what passes is asked again, what does not is named."""

import http.server
import threading

import pytest

from fairline.errors import InputError
from fairline.sources import Payload, Request, fetch


class Feed:
    """Answers with each of these in turn, then with the last for ever."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), 0

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(handler):  # noqa: N805
                self.asked += 1
                status, body = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                handler.send_response(status)
                handler.send_header("Content-Length", str(len(body)))
                handler.end_headers()
                handler.wfile.write(body)

            def log_message(handler, *_):  # noqa: N805
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.request = Request("https", f"http://127.0.0.1:{self.server.server_port}/candles?granularity=60", 60)
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


async def test_what_passes_is_asked_again():
    with Feed((503, b""), (200, b"[1]")) as feed:
        made = (await fetch([feed.request]))[feed.request]
    assert isinstance(made, Payload)
    assert made.body == b"[1]"
    assert feed.asked == 2


async def test_what_does_not_is_named_and_stops_nothing_else(tmp_path):
    path = tmp_path / "x"
    path.write_text("there")
    file = Request("file", str(path))
    with Feed((404, b"no")) as feed:
        made = await fetch([feed.request, file])
    assert isinstance(made[feed.request], InputError)
    assert "could not be read (it answered 404)" in str(made[feed.request])
    assert feed.asked == 1
    assert made[file].body == b"there"


async def test_within_its_age_it_is_asked_once():
    kept = {}
    with Feed((200, b"[1]")) as feed:
        for _ in range(3):
            made = await fetch([feed.request], kept)
    assert made[feed.request].body == b"[1]"
    assert feed.asked == 1


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (Request("https", "http://example.org/x"), "is no https address"),
        (Request("https", "ftp://127.0.0.1/x"), "could not be read"),
        (Request("https", "http://127.0.0.1:9/x"), "could not be read"),
        (Request("telepathy", "x"), "the source 'telepathy' is not known. Known sources: file, https"),
    ],
)
async def test_what_cannot_be_asked_is_one_line(request_, words):
    made = (await fetch([request_]))[request_]
    assert isinstance(made, InputError)
    assert words in str(made)
    assert "\n" not in str(made)


async def test_what_an_address_may_hold_of_a_secret_is_not_shown():
    for key in ("https://u:secret@127.0.0.1:9/x?api_key=TOPSECRET", "http://u:secret@example.org/?k=TOPSECRET",
                "https://[::1/x?k=TOPSECRET", "https://" + "a" * 70 + ".example/x?k=TOPSECRET"):  # fmt: skip
        request = Request("https", key)
        made = (await fetch([request]))[request]
        assert isinstance(made, InputError)
        assert "secret" not in str(made).lower()
