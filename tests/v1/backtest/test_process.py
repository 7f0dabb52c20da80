"""The process that a backtest runs in: its bounds, its end, and what it is not told."""

import asyncio
import json
import os
import socket
import subprocess
import sys

import pytest

from v1.backtest.process import __main__ as process
from v1.backtest.process import runner
from v1.backtest.process.job import ExitCode, Job, read_job, write_job
from v1.settings import PREFIX
from v1.store import StoreAway

JOB = Job("unix:///nowhere/redis.sock", [{"id": "r", "kind": "stale"}], 60, None, None, True, 10, [], 100, 1.0, 2**30)


async def stays() -> None:
    await asyncio.Event().wait()


def test_a_job_is_read_as_it_was_written():
    assert read_job(write_job(JOB)) == JOB


async def test_a_store_that_is_away_is_away_for_the_process_too():
    with pytest.raises(StoreAway, match="is away"):
        await runner.BacktestRunner(asyncio.Event(), PREFIX).run(JOB, stays)


def test_a_process_ends_with_whoever_started_it():
    started = subprocess.Popen(runner.COMMAND, stdin=subprocess.PIPE, env=runner.make_environment(PREFIX))
    # It reads its job, and then waits for a store that never answers.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        started.stdin.write(write_job(JOB._replace(redis=address)))
        started.stdin.flush()
        connection, _ = silent.accept()

        started.stdin.close()

        assert started.wait() == 1
        connection.close()


def test_no_setting_and_no_address_is_seen_in_the_list_of_processes(monkeypatch):
    monkeypatch.setenv("TRACKER_API_KEYS", "secret")

    assert "secret" not in str([*runner.COMMAND, runner.make_environment(PREFIX)])
    assert not [name for name in runner.make_environment(PREFIX) if name.startswith("TRACKER_")]
    assert "redis" not in str(runner.COMMAND)


def test_memory_and_time_are_bounded():
    code = (
        "import resource\n"
        "from v1.backtest.process.__main__ import _apply_limits\n"
        "from tests.v1.backtest.test_process import JOB\n"
        "_apply_limits(JOB)\n"
        "print(resource.getrlimit(resource.RLIMIT_AS)[0], resource.getrlimit(resource.RLIMIT_CPU)[0])\n"
        "try:\n    bytes(2**31)\nexcept MemoryError:\n    print('refused')\n"
    )

    run = subprocess.run(
        [sys.executable, "-c", code], env=runner.make_environment(PREFIX), capture_output=True, text=True
    )

    assert run.stdout.split() == [str(JOB.most_bytes), "6", "refused"], run.stderr


def test_what_takes_too_much_memory_is_told_with_the_bound(monkeypatch):
    def full(_: Job) -> None:
        raise MemoryError

    monkeypatch.setattr(process, "run_backtest", full)
    outcome, said = process._outcome(JOB)

    ((field, value, accepted),) = json.loads(said)
    assert (outcome, field, value) == (ExitCode.REFUSED, "rules", "1 rules")
    assert "1024 MB of memory" in accepted


def test_it_gives_way_to_every_other_process():
    code = "import os\nfrom v1.backtest.process.__main__ import _apply_limits\nfrom tests.v1.backtest.test_process import JOB\n"
    run = subprocess.run(
        [sys.executable, "-c", f"{code}_apply_limits(JOB)\nprint(os.nice(0))"],
        env=runner.make_environment(PREFIX),
        capture_output=True,
        text=True,
    )

    assert int(run.stdout) >= min(19, os.nice(0) + process.NICENESS)
