"""Inputs over time: a replay returns exactly the bytes, or the failure, that were known at any instant."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairline.errors import InputError
from fairline.sources import Payload, Request
from fairline.sources.inputs import ScanInputs
from fairline.store.inputs import InputRecorder, Inputs
from fairline.store.store import Store

BEGIN = datetime(2026, 11, 22, 21, tzinfo=UTC)
SECOND = timedelta(seconds=1)
FORECAST = Request("https", "https://example.org/forecast", 3_600)
RESULTS = Request("file", "/home/a/results/mlb.csv")
ELSEWHERE = Request("file", "/other/mlb.csv")


class Recording:
    """Scans into a store, each at its own second; a payload is (seconds since it was fetched, body)."""

    def __init__(self, folder):
        self.store = Store(folder)
        self.store.acquire()
        self.recorder = InputRecorder(self.store)

    def scan(self, at, **payloads):
        """Record a scan that requested its inputs at `at`, used them a second later and was stored after two."""
        given = {}
        for request in (FORECAST, RESULTS):
            if request.source in payloads:
                age, body = payloads[request.source]
                failed = isinstance(body, InputError)
                given[request] = body if failed else Payload(request, at - age * SECOND, body)
        now = self.store.next_ts(at + 2 * SECOND)
        return self.recorder.record(ScanInputs(given, at, at + SECOND), now)

    def restart(self):
        self.store.release()
        self.__init__(self.store.folder)

    def body(self, request, at):
        return Inputs(self.store).known_at([request], at)[request].body


@pytest.fixture
def recording(tmp_path):
    recording = Recording(tmp_path / "store")
    yield recording
    recording.store.release()


def test_a_payload_is_known_from_the_instant_it_was_fetched(recording):
    recording.scan(BEGIN, https=(-0.5, b"first"))
    recording.scan(BEGIN + 60 * SECOND, https=(-0.5, b"second"))
    inputs = Inputs(recording.store)
    before, fetched = BEGIN + 0.4 * SECOND, BEGIN + 0.5 * SECOND
    assert isinstance(inputs.known_at([FORECAST], before)[FORECAST], InputError)
    assert inputs.known_at([FORECAST], fetched)[FORECAST] == Payload(FORECAST, fetched, b"first")
    assert inputs.known_at([FORECAST], BEGIN + 60 * SECOND)[FORECAST].body == b"first"
    assert inputs.known_at([FORECAST], BEGIN + 60.5 * SECOND)[FORECAST].body == b"second"


def test_an_old_file_is_known_only_from_the_scan_that_read_it_and_keeps_its_age(recording):
    recording.scan(BEGIN, file=(86_400, b"results"))
    inputs = Inputs(recording.store)
    assert isinstance(inputs.known_at([RESULTS], BEGIN)[RESULTS], InputError)
    payload = inputs.known_at([RESULTS], BEGIN + SECOND)[RESULTS]
    assert payload == Payload(RESULTS, BEGIN - timedelta(days=1), b"results")


def test_an_unchanged_payload_takes_no_row_and_a_repeated_body_no_space(recording):
    body = b"a forecast " * 1_000
    assert recording.scan(BEGIN, https=(0, body)) == 1
    assert recording.scan(BEGIN + 60 * SECOND, https=(60, body)) == 0
    assert recording.scan(BEGIN + 120 * SECOND, https=(0, body)) == 1
    rows = recording.store.read("inputs")
    assert rows["bytes"].to_list() == [len(body)] * 2
    assert rows["body"].null_count() == 1
    assert recording.body(FORECAST, BEGIN + 121 * SECOND) == body


def test_a_failure_is_replayed_as_a_failure_until_the_next_payload(recording):
    failure = InputError("the source did not answer", remedy="Try again later")
    recording.scan(BEGIN, https=(0, b"first"))
    assert recording.scan(BEGIN + 60 * SECOND, https=(0, failure)) == 1
    assert recording.scan(BEGIN + 120 * SECOND, https=(0, failure)) == 0
    recording.scan(BEGIN + 180 * SECOND, https=(0, b"second"))
    inputs = Inputs(recording.store)
    assert inputs.known_at([FORECAST], BEGIN + 60 * SECOND)[FORECAST].body == b"first"
    replayed = inputs.known_at([FORECAST], BEGIN + 130 * SECOND)[FORECAST]
    assert (replayed.message, replayed.remedy) == (failure.message, failure.remedy)
    assert inputs.known_at([FORECAST], BEGIN + 180 * SECOND)[FORECAST].body == b"second"


def test_a_recording_is_replayed_with_the_paths_of_another_machine(recording):
    recording.scan(BEGIN, file=(5, b"results"))
    assert recording.body(ELSEWHERE, BEGIN + SECOND) == b"results"


def test_two_different_files_of_one_name_are_a_failure_and_not_the_wrong_bytes(recording):
    payloads = {RESULTS: Payload(RESULTS, BEGIN, b"a"), ELSEWHERE: Payload(ELSEWHERE, BEGIN, b"b")}
    recording.recorder.record(ScanInputs(payloads, BEGIN, BEGIN), recording.store.next_ts(BEGIN))
    replayed = Inputs(recording.store).known_at([RESULTS], BEGIN)[RESULTS]
    assert replayed.message == "two files are recorded as file:mlb.csv"


def test_each_day_is_complete_in_itself_so_earlier_days_can_expire(recording):
    recording.scan(BEGIN, https=(0, b"kept"))
    later = BEGIN + timedelta(days=2)
    assert recording.scan(later, https=(200_000, b"kept")) == 1
    recording.store.expire({"inputs": 1}, later)
    assert recording.store.read("inputs").height == 1
    assert recording.body(FORECAST, later + SECOND) == b"kept"


def test_after_a_restart_nothing_is_stored_twice(recording):
    recording.scan(BEGIN, https=(0, b"body"), file=(5, b"results"))
    recording.restart()
    assert recording.scan(BEGIN + 60 * SECOND, https=(60, b"body"), file=(65, b"results")) == 0
    assert recording.scan(BEGIN + 120 * SECOND, https=(0, b"body")) == 1
    assert recording.store.read("inputs")["body"].null_count() == 1


bodies = st.sampled_from([b"a", b"b", b"c" * 100])


@settings(max_examples=40, deadline=None)
@given(
    scans=st.lists(st.tuples(st.integers(5, 40_000), bodies, bodies, st.booleans()), min_size=1, max_size=12),
    compact=st.booleans(),
)
def test_a_replay_equals_what_each_scan_used(tmp_path_factory, scans, compact):
    recording = Recording(tmp_path_factory.mktemp("store"))
    at = BEGIN
    used = []
    for seconds, forecast, results, restart in scans:
        at += seconds * SECOND
        recording.scan(at, https=(0, forecast), file=(10, results))
        used.append((at + SECOND, forecast, results))
        if restart:
            recording.restart()
    if compact:
        recording.store.compact(at + timedelta(days=1))
    inputs = Inputs(recording.store)
    for asof, forecast, results in used:
        payloads = inputs.known_at([FORECAST, RESULTS], asof)
        assert (payloads[FORECAST].body, payloads[RESULTS].body) == (forecast, results)
    recording.store.release()
