import errno
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from structlog.testing import capture_logs

from tests.support.invented import BTC, NOON
from worker.latest import DAY, Reading
from worker.latest.market import SourceReading
from worker.sampling import tick_journal
from worker.sampling.tick_buffer import TickBuffer
from worker.sampling.tick_journal import TickJournal, WaitingTick, open_journal

PLENTY = 2**30


OPEN: list[TickJournal] = []


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    while OPEN:
        OPEN.pop().close()


def make(folder: Path, most_bytes: int = PLENTY, interval: int = 60, after: int = 0) -> TickJournal:
    made = TickJournal(folder, interval, most_bytes)
    made.read(after)
    OPEN.append(made)
    return made


def take_all(journal: TickJournal) -> list[int]:
    ticks = []
    while waiting := journal.peek():
        ticks.append(waiting.at)
        journal.remove()
    return ticks


@contextmanager
def small_disk(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_waits_is_found_again_by_the_next_worker(tmp_path: Path):
    journal = make(tmp_path)
    for minute in range(100):
        journal.add(WaitingTick(NOON + 60 * minute, b"%d" % minute))

    again = make(tmp_path)

    assert again.peek() == WaitingTick(NOON, b"0")
    assert take_all(again) == [NOON + 60 * minute for minute in range(100)]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("lost", [1, 5, 17, 22])
def test_a_tick_that_was_half_written_is_left_out_and_the_others_are_there(tmp_path: Path, lost: int):
    journal = make(tmp_path)
    for minute in range(3):
        journal.add(WaitingTick(NOON + 60 * minute, b"a tick"))
    (segment,) = tmp_path.iterdir()
    segment.write_bytes(segment.read_bytes()[:-lost])

    assert take_all(make(tmp_path)) == [NOON, NOON + 60]


def test_a_record_that_was_changed_is_left_out(tmp_path: Path):
    make(tmp_path).add(WaitingTick(NOON, b"a tick"))
    (segment,) = tmp_path.iterdir()
    segment.write_bytes(segment.read_bytes().replace(b"tick", b"tock", 2))

    assert take_all(make(tmp_path)) == []


def test_ticks_of_another_interval_and_of_before_the_day_are_dropped(tmp_path: Path):
    make(tmp_path, interval=5).add(WaitingTick(NOON, b"other"))
    assert make(tmp_path).peek() is None

    make(tmp_path).add(WaitingTick(NOON - DAY, b"old"))
    assert make(tmp_path, after=NOON - DAY).peek() is None
    assert list(tmp_path.glob("ticks-*")) == []


def test_a_journal_that_is_full_drops_the_oldest_and_says_so_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tick_journal, "SEGMENT_BYTES", 100)
    journal = make(tmp_path, most_bytes=2000)

    with capture_logs() as logs:
        for minute in range(100):
            assert journal.add(WaitingTick(NOON + 60 * minute, b"x" * 80))

    kept = take_all(journal)
    assert journal.dropped + len(kept) == 100
    assert 10 < len(kept) < 25
    assert kept == [NOON + 60 * minute for minute in range(100 - len(kept), 100)]
    assert [each["event"] for each in logs] == ["the oldest ticks that wait are dropped"]


def test_a_disk_that_takes_no_more_costs_the_oldest_and_never_the_newest(tmp_path: Path):
    journal = make(tmp_path)

    with small_disk(10_000), capture_logs() as logs:
        for minute in range(50):
            assert journal.add(WaitingTick(NOON + 60 * minute, b"x" * 1000))

    kept = take_all(make(tmp_path))
    assert kept == [NOON + 60 * minute for minute in range(50 - len(kept), 50)]
    assert journal.dropped == 50 - len(kept)
    (said,) = logs
    assert said["event"] == "the oldest ticks that wait are dropped"
    assert f"[Errno {errno.EFBIG}]" in said["reason"]


def test_a_disk_that_takes_nothing_leaves_the_newest_in_memory(tmp_path: Path):
    buffer = TickBuffer(60, make(tmp_path), memory_bytes=1000)

    with small_disk(0), capture_logs():
        for minute in range(500):
            buffer.add(NOON + 60 * minute, {BTC: SourceReading(Reading(f"{minute}"), "invented")})

    assert buffer.dropped > 400
    oldest = buffer.peek()[0]
    assert oldest == NOON + 60 * buffer.dropped
    assert list(tmp_path.iterdir()) == []


def test_two_workers_never_share_a_journal(tmp_path: Path):
    code = (
        "import sys; from pathlib import Path; from worker.sampling.tick_journal import open_journal\n"
        "with open_journal(Path(sys.argv[1]), 60, 2**20, 0) as journal: print(journal)"
    )
    with open_journal(tmp_path, 60, PLENTY, after=0) as journal:
        assert journal is not None
        other = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)

    assert "another worker" in other.stdout + other.stderr
    assert other.stdout.splitlines()[-1] == "None"
    with open_journal(tmp_path, 60, PLENTY, after=0) as journal:
        assert journal is not None


def test_a_folder_that_cannot_be_made_is_said_and_memory_is_used(tmp_path: Path):
    (tmp_path / "data").write_text("a file")

    with capture_logs() as logs, open_journal(tmp_path / "data" / "waiting", 60, PLENTY, after=0) as journal:
        assert journal is None

    assert [each["event"] for each in logs] == ["waiting ticks stay in memory"]


def test_what_a_worker_left_is_said_by_the_next(tmp_path: Path):
    make(tmp_path).add(WaitingTick(NOON, b"a tick"))

    with capture_logs() as logs, open_journal(tmp_path, 60, PLENTY, after=0) as journal:
        assert len(journal) == 1

    assert [(each["event"], each["ticks"], each["oldest"]) for each in logs] == [
        ("ticks were waiting to be committed", 1, NOON)
    ]


class Outage(RuleBasedStateMachine):
    """Ticks come and go, in memory and files, and the worker is killed now and then: beside a plain list."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.buffer = TickBuffer(60, make(Path(self.folder.name)), memory_bytes=300)
        self.waiting: list[int] = []
        self.next = NOON

    def teardown(self) -> None:
        OPEN.pop().close()
        self.folder.cleanup()

    @rule(number=st.integers(1, 30))
    def sample(self, number: int) -> None:
        for _ in range(number):
            self.buffer.add(self.next, {BTC: SourceReading(Reading(f"{self.next}"), "invented")})
            self.waiting.append(self.next)
            self.next += 60

    @precondition(lambda self: self.waiting)
    @rule(number=st.integers(1, 40))
    def commit(self, number: int) -> None:
        for at in self.waiting[:number]:
            found, readings = self.buffer.peek()
            assert (found, readings[BTC].reading.price) == (at, f"{at}")
            self.buffer.remove(at)
        del self.waiting[:number]

    @rule()
    def kill(self) -> None:
        in_files = len(self.buffer._journal)
        OPEN.pop().close()
        journal = make(Path(self.folder.name))
        found = [record.at for record in journal._records]
        # What was in memory is gone; what waited in files is there, after some that were committed out of the first.
        assert found[len(found) - in_files :] == [at for at in self.waiting if at in found]
        assert found == sorted(found)
        self.buffer = TickBuffer(60, journal, memory_bytes=300)
        self.waiting = found

    @invariant()
    def all_are_counted(self) -> None:
        assert len(self.buffer) == len(self.waiting)
        assert self.buffer.dropped == 0


Outage.TestCase.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
TestOutage = Outage.TestCase
