"""Texts of the exchange reach terminals, logs, messages and spreadsheets without anything that controls them."""

import io
import json
import logging
from datetime import UTC, datetime

import polars as pl
import pytest
from rich.table import Table
from rich.text import Text

from fairline.cli.logs import _JsonFormatter, _TextFormatter
from fairline.output.console import SafeConsole
from fairline.output.formats import write_document, write_rows
from fairline.watch.state import State

EVIL = "A\x1b]0;owned\x07\x1b[2J\x9b31m\u202eB\rC\u2066"
UNSAFE = "\x1b\x07\x9b\u202e\r\u2066"


def test_a_terminal_gets_no_control_characters_of_a_text():
    table = Table(EVIL, title=EVIL)
    table.add_row(EVIL)
    for renderable in (EVIL, Text(EVIL, style="yellow"), table):
        console = SafeConsole(file=io.StringIO(), width=80, highlight=False, markup=False)
        console.print(renderable)
        assert not set(console.file.getvalue()) & set(UNSAFE)


def test_a_terminal_still_gets_colours():
    console = SafeConsole(file=io.StringIO(), width=80, force_terminal=True, color_system="standard")
    console.print(Text(f"x{EVIL}", style="red"))
    assert console.file.getvalue().startswith("\x1b[31mx")
    assert "\x1b[2J" not in console.file.getvalue()


@pytest.mark.parametrize("formatter", [_TextFormatter(), _JsonFormatter()])
def test_a_log_line_is_one_line(formatter, rsa_pem):
    record = logging.LogRecord("fairline", logging.INFO, "", 0, "%s", (f"{EVIL}\nFORGED LINE {rsa_pem}",), None)
    line = formatter.format(record)
    assert len(line.splitlines()) == 1
    assert not set(line) & set(UNSAFE)
    assert rsa_pem.splitlines()[3] not in line


def test_messages_are_cleaned_when_they_enter_the_outbox(tmp_path):
    state = State(tmp_path)
    now = datetime(2026, 11, 23, tzinfo=UTC)
    state.raise_alarm("data markets", EVIL, ["phone"], (f"{EVIL}\nX", f"{EVIL}\nsecond line"), now)
    (message,) = state.pending_messages()
    assert not set(state.alarms()["data markets"][1]) & set(UNSAFE)
    state.close()
    assert not (set(message.title) | set(message.body)) & set(UNSAFE)
    assert "\n" not in message.title
    assert message.body.endswith("\nsecond line")


def test_json_escapes_what_controls_a_terminal_and_stays_the_same_value():
    stream = io.BytesIO()
    write_document(stream, {"problems": [EVIL], "rows": pl.DataFrame({"title": [EVIL]})})
    text = stream.getvalue().decode()
    assert not set(text) & set(UNSAFE)
    assert json.loads(text) == {"problems": [EVIL], "rows": [{"title": EVIL}]}


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_a_cell_cannot_run_in_a_spreadsheet(start):
    frame = pl.DataFrame({"title": [f"{start}cmd|' /C calc'!A0", "harmless"], "edge": [-1.5, 2.0]})
    stream = io.BytesIO()
    write_rows(stream, "csv", frame)
    table = pl.read_csv(stream.getvalue())
    assert table["title"].to_list() == [f"'{start}cmd|' /C calc'!A0", "harmless"]
    assert table["edge"].to_list() == [-1.5, 2.0]
