"""When a part is started again, how long that waits, and when it is given up: with real processes and no waiting."""

import asyncio
import sys
from pathlib import Path

import pytest

from scripts.parts import PartEnded
from scripts.restarts import RestartPolicy, SupervisedPart
from worker.embedded.pidlock import lock_pid_file, write_pid

WORKS = "print('at work', flush=True); import time; time.sleep(600)"
KILLED = "print('at work', flush=True); import os; os.kill(os.getpid(), 9)"
WRONG = "print('a setting is wrong', flush=True); import sys; sys.exit(2)"
TOLD_TO_STOP = "print('stopped', flush=True)"
QUICK = RestartPolicy(waits=(1.0, 2.0, 4.0))


class Waits:
    """Waits for nothing, and remembers for how long it should have."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


@pytest.fixture
def waits() -> Waits:
    return Waits()


async def started(folder: Path, program: str, waits: Waits, policy: RestartPolicy = QUICK) -> SupervisedPart:
    return await SupervisedPart.start("worker", [sys.executable, "-c", program], folder, policy, waits)


async def test_what_is_killed_again_and_again_is_given_up_after_growing_waits(
    tmp_path: Path, waits: Waits, capsys: pytest.CaptureFixture[str]
):
    part = await started(tmp_path, KILLED, waits)

    with pytest.raises(PartEnded) as fell:
        await part.watch()

    log = tmp_path / "logs" / "worker.log"
    assert waits.seconds == [1, 2, 4]
    assert capsys.readouterr().out.splitlines() == [
        f"the worker was ended by SIGKILL; starting it again in {wait} s; its log: {log}" for wait in (1, 2, 4)
    ]
    assert str(fell.value).splitlines()[-1] == (
        f"the worker ended 4 times, each time within 60 s of its start, and is not started again; its log is {log}"
    )
    assert log.read_text() == "at work\n" * 4, "its log goes on"


async def test_what_ends_by_itself_at_its_very_first_start_is_for_a_person_to_see_to(tmp_path: Path, waits: Waits):
    part = await started(tmp_path, WRONG, waits)

    with pytest.raises(PartEnded, match=r"the worker ended by itself with code 2; last in .*\n  a setting is wrong"):
        await part.watch()

    assert waits.seconds == []


async def test_what_was_up_is_started_again_however_it_ended(tmp_path: Path, waits: Waits):
    part = await started(tmp_path, TOLD_TO_STOP, waits, RestartPolicy(waits=(1.0,), starting=0.0))

    with pytest.raises(PartEnded, match="ended by itself with code 0"):
        await part.watch()

    assert waits.seconds == [1]


async def test_what_has_worked_for_long_begins_again_with_the_shortest_wait(tmp_path: Path, waits: Waits):
    part = await started(tmp_path, KILLED, waits, RestartPolicy(waits=(1.0, 2.0), settled=0.0))
    watching = asyncio.create_task(part.watch())
    while len(waits.seconds) < 4:
        await asyncio.sleep(0.01)
    watching.cancel()
    await asyncio.wait([watching])
    await part.stop()

    assert {*waits.seconds} == {1.0}


async def test_who_is_stopped_is_not_started_again(tmp_path: Path, waits: Waits):
    part = await started(tmp_path, WORKS, waits)
    watching = asyncio.create_task(part.watch())
    await asyncio.sleep(0)
    watching.cancel()
    await asyncio.wait([watching])

    await part.stop()

    assert waits.seconds == []


async def test_a_child_that_outlives_it_is_waited_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    held: list[int] = []

    async def hold_on(_: float) -> None:
        if not held:
            held.append(lock_pid_file(tmp_path / "run" / "worker.pid"))
            write_pid(held[0], 4321)

    part = await SupervisedPart.start("worker", [sys.executable, "-c", KILLED], tmp_path, QUICK, hold_on)

    with pytest.raises(PartEnded):
        await part.watch()

    assert "the worker cannot be started: process 4321 holds" in capsys.readouterr().out
