"""Where results go, and their format."""

from pathlib import Path

import pytest

from fairline.errors import OutputError, UsageError
from fairline.output.files import choose_format, open_output, write_output


def test_a_file_is_written_completely_or_not_at_all(tmp_path, monkeypatch):
    target = tmp_path / "out.json"
    write_output(target, b"first")
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OutputError, match="No space left"):
        write_output(target, b"second")
    assert target.read_bytes() == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]


def test_an_error_while_writing_leaves_the_old_file(tmp_path):
    target = tmp_path / "out.json"
    target.write_bytes(b"first")

    def fail_half_way():
        with open_output(target) as stream:
            stream.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert target.read_bytes() == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(OutputError, match="cannot write"):
        write_output(tmp_path / "gone" / "out.json", b"x")


@pytest.mark.parametrize(
    ("given", "output", "chosen"),
    [
        (None, None, "table"),
        ("json", "x.csv", "json"),
        (None, "x.CSV", "csv"),
        (None, "x.parquet", "parquet"),
        (None, "x.json", "json"),
        (None, "x.ndjson", "jsonl"),
        (None, "x.tsv", "tsv"),
        (None, "x.md", "markdown"),
    ],
)
def test_the_format_follows_the_option_then_the_name_of_the_file(tmp_path, given, output, chosen):
    assert choose_format(given, tmp_path / output if output else None) == chosen


@pytest.mark.parametrize(
    ("given", "output", "sentence"),
    [("table", "x.csv", "a table is for the terminal"), (None, "x.txt", "does not imply a format")],
)
def test_a_file_without_a_usable_format_is_refused(tmp_path, given, output, sentence):
    with pytest.raises(UsageError, match=sentence):
        choose_format(given, tmp_path / output)


def test_an_unwritable_file_is_refused_before_the_work(tmp_path):
    for path in (tmp_path, tmp_path / "gone" / "x.csv"):
        with pytest.raises(OutputError):
            choose_format("csv", path)


def test_links_devices_and_permissions_are_respected(tmp_path):
    target, link = tmp_path / "real.csv", tmp_path / "link.csv"
    target.write_text("old")
    target.chmod(0o600)
    link.symlink_to(target)
    write_output(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert target.stat().st_mode & 0o777 == 0o600
    write_output(Path("/dev/null"), b"x")
    assert not Path("/dev/null").is_file()
