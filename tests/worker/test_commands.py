"""The worker as people meet it: `python -m worker ...`, in a process of its own."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from typer.testing import CliRunner

from tests.support import servers
from tests.support.loopback import providers, serving
from tests.support.shared import shared
from tests.worker.sampling.test_replay import write
from v1.store import keys
from worker.cli.commands import app
from worker.cli.times import shift_recording
from worker.latest import Metric, Reading
from worker.latest.market import SourceReading
from worker.latest.store import Reader, Verifier, Writer, connect
from worker.sampling.recording import open_recording
from worker.sampling.replay import replay
from worker.sampling.tick import commit_tick
from worker.settings import WorkerSettings

ROOT = Path(__file__).resolve().parents[2]
BTC, ETH = Metric("KRAKEN:BTCUSD"), Metric("KRAKEN:ETHUSD")
NOWHERE = "unix:///nowhere/redis.sock"
MIN_COVERAGE = WorkerSettings.model_fields["min_coverage"].default
"""By which a worker ranks whose settings do not say otherwise."""


class Worker:
    """A process, what it says, and how it ends."""

    def __init__(self, folder: Path, number: int, words: tuple[str, ...], settings: dict[str, str]) -> None:
        self._said = folder / f"worker-{number}.log"
        self.printed = ""
        """What it printed on standard output, once it has ended."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TRACKER_")}
        with self._said.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "worker", *words],
                cwd=folder,
                env=environment
                | {"PYTHONPATH": str(ROOT)}
                | {f"TRACKER_{name}": each for name, each in settings.items()},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    @property
    def said(self) -> str:
        """Return what it has said on standard error."""
        return self._said.read_text()

    async def ended(self) -> int:
        """Wait for its end, and return its exit code."""
        await until(lambda: self.process.poll() is not None)
        self.printed, _ = self.process.communicate()
        assert "Traceback" not in self.said, self.said
        return self.process.returncode

    async def says(self, words: str) -> None:
        await until(lambda: words in self.said or self.process.poll() is not None)
        assert words in self.said, self.said

    def stop(self, by: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(by)


async def until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not is_so():
            await asyncio.sleep(0.02)


async def eventually(ask: Callable[[], Awaitable[object]], worker: Worker, seconds: float = 60) -> None:
    """Wait until what is asked is so, as long as the worker lives, for so many `seconds` at most."""
    async with asyncio.timeout(seconds):
        while not await ask():
            assert worker.process.poll() is None, worker.said
            await asyncio.sleep(0.02)


Start = Callable[..., Worker]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start the worker with some words, and settings by name; it is killed at the end if it still runs."""
    begun: list[Worker] = []

    def one(*words: str, **settings: str) -> Worker:
        begun.append(Worker(tmp_path, len(begun), words, settings))
        return begun[-1]

    yield one
    for worker in begun:
        worker.process.kill()
        worker.process.wait()
        if worker.process.stdout is not None:
            worker.process.stdout.close()


@pytest.fixture
async def address(valkey: str) -> AsyncIterator[str]:
    """The embedded server, empty; what processes that are killed leave in it goes away."""
    async with connect(valkey, "tests") as redis:
        await redis.flushall()
        yield valkey
        await redis.flushall()


@pytest.fixture
async def redis(address: str) -> AsyncIterator[Redis]:
    async with connect(address, "tests") as client:
        yield client


@pytest.fixture
async def live(address: str) -> AsyncIterator[dict[str, str]]:
    """The settings of a worker that samples a local Kraken every second."""
    async with serving(providers(shared("recorded"), time.time)) as base:
        yield {"REDIS_URL": address, "INTERVAL": "1", "KRAKEN_URL": base, "METRICS": "KRAKEN:BTCUSD,KRAKEN:ETHUSD"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "test-spot", 90)


# ---- words and settings: mostly without a process, which takes a second to start ---------------------------------


def said_to(*words: str, **settings: str) -> tuple[int, str, str]:
    """Return exit code, standard output and standard error of words that are answered before any work begins."""
    environment = {f"TRACKER_{name}": each for name, each in settings.items()}
    answer = CliRunner().invoke(app, words, env=environment, prog_name="python -m worker")
    assert answer.exception is None or isinstance(answer.exception, SystemExit)
    return answer.exit_code, answer.stdout, answer.stderr


@pytest.mark.parametrize(
    "words, says",
    [
        pytest.param(["bogus"], "No such command 'bogus'", id="an unknown command"),
        pytest.param(["run", "--bogus"], "No such option: --bogus", id="an unknown option"),
        pytest.param(["verify", "everything"], "unexpected extra argument", id="a word too many"),
        pytest.param(["replay"], "Missing argument", id="no folder"),
    ],
)
def test_words_that_mean_nothing_are_a_usage_error(words: list[str], says: str):
    code, printed, said = said_to(*words)

    assert (code, printed) == (2, "")
    assert said.startswith("Usage: python -m worker")
    assert says in said


def test_help_names_every_command_and_what_it_does():
    code, printed, _ = said_to("--help")

    assert code == 0
    assert "Sample markets, keep their last day, rank what moves. Without a command: run." in " ".join(printed.split())
    assert all(f"  {command} " in printed for command in ("run", "replay", "verify"))


@pytest.mark.parametrize("words", [["run"], ["verify"], ["replay", "somewhere"]], ids=" ".join)
def test_every_command_stops_at_wrong_settings(words: list[str]):
    code, printed, said = said_to(*words, SOURCES="krakn")

    assert (code, printed) == (2, "")
    assert said.startswith("TRACKER_SOURCES: ")


async def test_wrong_settings_are_a_line_each_and_exit_2(start: Start):
    worker = start(INTERVAL="7", SOURCES="krakn", REDIS_URL="http://x")

    assert await worker.ended() == 2
    names = sorted(line.partition(":")[0] for line in worker.said.splitlines())
    assert names == ["TRACKER_INTERVAL", "TRACKER_REDIS_URL", "TRACKER_SOURCES"]


def test_a_log_file_that_cannot_be_written_is_a_wrong_setting():
    code, _, said = said_to("run", LOG_FILE="/nowhere/worker.log")

    assert code == 2
    assert said.startswith("TRACKER_LOG_FILE: ")
    assert "/nowhere/worker.log" in said


@pytest.mark.parametrize(
    "until, says",
    [
        pytest.param("noon", "--until: 'noon' is not a time: now, unix seconds or ISO 8601 are", id="a word"),
        pytest.param("2021-13-01", "--until: '2021-13-01' is not a time", id="a month too many"),
        pytest.param("99999999999999999999", "is not a time from 1970 to 2286", id="a time beyond all"),
        pytest.param("1621252800000", "is not a time from 1970 to 2286", id="milliseconds"),
        pytest.param("0001-01-01", "is not a time from 1970 to 2286", id="a time before all"),
        pytest.param("0001-01-01T00:00+14:00", "is not a time", id="a time before even that"),
        pytest.param("60", "the recording would begin before 1970", id="an early time"),
    ],
)
def test_an_end_that_no_recording_can_have_is_named(folder: Path, until: str, says: str):
    with pytest.raises(ValueError, match=r"^--until: ") as raised:
        shift_recording(open_recording(folder), until, 60)

    assert says in str(raised.value)


@pytest.mark.parametrize(
    "until, interval, last",
    [
        pytest.param("1621300000", 60, 1621299960, id="unix seconds"),
        pytest.param("2021-05-18T01:06:40", 60, 1621299960, id="ISO 8601 without a zone is UTC"),
        pytest.param("2021-05-18T03:06:40+02:00", 60, 1621299960, id="ISO 8601 with one"),
        pytest.param("2021-05-18", 60, 1621296000, id="a day"),
        pytest.param("1621300007", 1, 1621299960, id="minutes stay minutes at a shorter interval"),
        pytest.param("1621300000", 300, 1621299900, id="a longer interval"),
        pytest.param("1621300000", 90, 1621299960 - 1621299960 % 180, id="an interval that is no multiple"),
    ],
)
def test_a_recording_ends_at_the_newest_tick_up_to_the_time_that_is_named(
    folder: Path, until: str, interval: int, last: int
):
    moved = shift_recording(open_recording(folder), until, interval)

    assert moved.last == last


# ---- replay and verify -------------------------------------------------------------------------------------------


async def test_a_folder_that_is_no_recording_is_one_line_and_exit_2(start: Start):
    worker = start("replay", "nowhere", REDIS_URL=NOWHERE)

    assert await worker.ended() == 2
    (line,) = worker.said.splitlines()
    assert line.startswith("nowhere: is not a folder that can be read")


async def test_who_cannot_wait_for_a_redis_that_is_away_says_so_in_one_line_and_exits_1(start: Start, folder: Path):
    worker = start("replay", str(folder), REDIS_URL=NOWHERE)

    assert await worker.ended() == 1
    (line,) = worker.said.splitlines()
    assert line.startswith("Redis is away: ")


async def test_who_cannot_wait_for_the_worker_that_feeds_this_redis_says_so_and_exits_1(
    start: Start, address: str, redis: Redis
):
    await Writer(redis).lease.take_or_keep("elsewhere:17:1")

    worker = start("verify", REDIS_URL=address)

    assert await worker.ended() == 1
    assert worker.said == "elsewhere:17:1 feeds this Redis, and only one worker does at a time: stop it first\n"
    assert await redis.get(keys.LEASE) == "elsewhere:17:1"


async def test_data_of_another_format_is_refused_in_one_line_that_says_how_to_start_anew(
    start: Start, address: str, redis: Redis
):
    await redis.set(keys.TICK, "1621252800")

    worker = start(REDIS_URL=address, SOURCES="simulated")

    assert await worker.ended() == 1
    (line,) = [each for each in worker.said.splitlines() if "format" in each]
    assert line == (
        f"{address} holds data without a format number, and this data-tracker expects format {keys.FORMAT_NUMBER}: to "
        "start anew, run scripts/start-worker.sh reset --yes, which deletes the kept day and the alerts; the rules and "
        "the archive are kept, and the next start fills the day again"
    )
    assert await redis.keys("*") == [keys.TICK]


async def test_reset_deletes_the_day_and_keeps_the_rules(start: Start, address: str, redis: Redis):
    await redis.set(keys.TICK, "1621252800")
    await redis.hset(keys.RULES, "r", "{}")

    asked = start("reset", REDIS_URL=address)
    assert await asked.ended() == 2
    assert asked.said == "1 keys would be deleted, and nothing was: to delete them, add --yes\n"
    assert await redis.get(keys.TICK) == "1621252800"

    done = start("reset", "--yes", REDIS_URL=address)
    assert await done.ended() == 0
    assert done.printed == (
        "deleted 1 keys; the archive, rules and silences are kept\nnext: scripts/start.sh, which fills the day again\n"
    )
    assert await redis.keys("*") == [keys.RULES]


async def test_a_replay_until_now_ends_at_the_newest_tick_and_says_what_to_do_next(
    start: Start, folder: Path, address: str, redis: Redis
):
    before = int(time.time())
    worker = start("replay", str(folder), "--until", "now", "--exchange", "mine", REDIS_URL=address, INTERVAL="1")

    assert await worker.ended() == 0
    newest = await Reader(redis).read_tick()
    assert newest is not None
    assert before - 60 <= newest <= int(time.time())
    assert sorted(await Reader(redis).read_metrics()) == ["MINE:AAAUSD", "MINE:BBBUSD"]
    assert "played 90 ticks in " in worker.said
    assert worker.said.endswith("/v1/metrics/MINE:AAAUSD/history\n")
    assert await redis.get(keys.LEASE) is None


async def test_a_replay_says_at_its_end_what_it_left_out(start: Start, folder: Path, address: str):
    with (folder / "AAA_USD.csv").open("a") as file:
        file.write("1621339200,0,0,0,0,0\n1621339260,1,1,2,1.5,0\n")
    worker = start("replay", str(folder), "--exchange", "mine", REDIS_URL=address)

    assert await worker.ended() == 0
    said = "candles that cannot be true are left out: 1 with a high below its low, 1 with a price of zero"
    assert worker.said.splitlines()[-2] == said


async def test_a_store_that_is_past_the_recording_is_refused_in_one_line(
    start: Start, folder: Path, address: str, redis: Redis
):
    await commit_tick(2_000_000_040, {BTC: SourceReading(Reading("1"), "tests")}, Writer(redis))

    worker = start("replay", str(folder), REDIS_URL=address)

    assert await worker.ended() == 1
    playing, refused = worker.said.splitlines()
    assert playing.startswith("playing ")
    assert refused.startswith("the store has ticks until 2000000040 and the recording ends at ")
    assert await redis.get(keys.LEASE) is None


async def test_a_replay_that_is_stopped_exits_0_and_gives_the_lease_back(
    start: Start, tmp_path: Path, address: str, redis: Redis
):
    worker = start("replay", str(write(tmp_path / "long-spot", 5000)), REDIS_URL=address)
    await eventually(Reader(redis).read_tick, worker)

    worker.stop()

    assert await worker.ended() == 0
    assert await redis.get(keys.LEASE) is None
    assert "played" not in worker.said
    assert (await Verifier(redis, MIN_COVERAGE).verify(repair=False)).is_clean


async def test_verify_names_what_differs_repairs_it_and_is_content_afterwards(
    start: Start, folder: Path, address: str, redis: Redis
):
    await replay(open_recording(folder), Writer(redis), 60, lambda _done, _of: None)
    await redis.zadd("v1:rank:price:stddev", {"TEST:AAAUSD": 7.0})
    await redis.delete(keys.moments(Metric("TEST:BBBUSD")))
    ended, printed = [], []

    for words in (["--dry-run"], [], []):
        worker = start("verify", *words, REDIS_URL=address)
        ended.append(await worker.ended())
        printed.append(worker.printed.splitlines())

    assert ended == [1, 0, 0]
    looked, repaired, content = printed
    assert looked[0].startswith("checked 2 metrics with ")
    assert {"differs: TEST:BBBUSD", "differs: v1:rank:price:stddev"} <= set(looked)
    assert {"repaired: TEST:BBBUSD", "repaired: v1:rank:price:stddev"} <= set(repaired)
    assert content == [looked[0], "everything follows from the samples"]


# ---- run ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT], ids=lambda by: by.name)
async def test_it_samples_until_it_is_stopped_and_then_exits_0_and_gives_the_lease_back(
    start: Start, live: dict[str, str], redis: Redis, by: signal.Signals
):
    worker, began = start(**live), int(time.time()) + 1
    await eventually(lambda: _ticks(redis, 3), worker)

    worker.stop(by)

    assert await worker.ended() == 0
    assert worker.said.splitlines()[-1].endswith("stopped")
    assert await redis.get(keys.LEASE) is None
    sampled = [at for at in await _sampled(redis) if at >= began]
    assert sampled == list(range(sampled[0], sampled[0] + len(sampled)))
    assert (await Verifier(redis, MIN_COVERAGE).verify(repair=False)).is_clean


async def test_a_metric_the_provider_does_not_have_is_named_at_start_and_the_others_run(
    start: Start, live: dict[str, str], redis: Redis
):
    worker = start(**live | {"METRICS": "KRAKEN:BTCUSD,KRAKEN:NOSUCHUSD", "LOG_FORMAT": "json"})

    await eventually(lambda: _ticks(redis, 1), worker)
    await eventually(lambda: _is_missing(redis, "KRAKEN:NOSUCHUSD"), worker)

    assert '"metric": "KRAKEN:NOSUCHUSD"' in worker.said


async def test_the_windows_are_at_the_present_before_the_first_beat_comes(
    start: Start, live: dict[str, str], redis: Redis
):
    """At a sample an hour, nobody would wait for that."""
    newest = int(time.time()) // 3600 * 3600
    await commit_tick(newest - 7200, {BTC: SourceReading(Reading("1"), "tests")}, Writer(redis))

    worker = start(**live | {"INTERVAL": "3600"})

    await eventually(lambda: _is_at(redis, newest), worker)


async def test_a_second_worker_stands_by_and_takes_over_at_once_when_the_first_is_killed(
    start: Start, live: dict[str, str], redis: Redis
):
    first = start(**live)
    await eventually(lambda: _ticks(redis, 1), first)
    second = start(**live)
    await second.says("standing by")
    assert f":{first.process.pid}:" in second.said

    first.stop(signal.SIGKILL)
    first.process.wait()
    # No waiting for the lease to run out: it would take a quarter of an hour.
    await redis.expire(keys.LEASE, 900)
    before = await Reader(redis).read_tick() or 0
    await second.says("sampling")

    await eventually(lambda: _is_at(redis, before + 2), second)
    assert f":{second.process.pid}:" in str(await redis.get(keys.LEASE))
    second.stop()
    assert await second.ended() == 0
    assert (await Verifier(redis, MIN_COVERAGE).verify(repair=False)).is_clean


async def test_a_redis_that_is_not_there_yet_is_waited_for(start: Start, live: dict[str, str], tmp_path: Path):
    worker = start(**live | {"REDIS_URL": servers.address(tmp_path)})
    await worker.says("standing by")

    with servers.running(servers.embedded(), tmp_path) as address:
        async with connect(address, "tests") as redis:
            await eventually(lambda: _ticks(redis, 1), worker)
        worker.stop()
        assert await worker.ended() == 0


async def test_standing_by_it_can_be_stopped(start: Start, live: dict[str, str]):
    worker = start(**live | {"REDIS_URL": NOWHERE})
    await worker.says("standing by")

    worker.stop()

    assert await worker.ended() == 0


async def test_a_redis_that_hangs_does_not_keep_it_from_stopping(start: Start, live: dict[str, str], tmp_path: Path):
    server = servers.start(servers.embedded(), tmp_path)
    try:
        worker = start(**live | {"REDIS_URL": servers.address(tmp_path)})
        async with connect(servers.address(tmp_path), "tests") as redis:
            await eventually(lambda: _ticks(redis, 1), worker)
        server.send_signal(signal.SIGSTOP)

        worker.stop()

        assert await worker.ended() == 0
        assert "the lease runs out by itself" in worker.said
    finally:
        server.kill()
        server.wait()


async def test_what_redis_says_no_to_is_said_and_waited_for(start: Start, live: dict[str, str], redis: Redis):
    await redis.set(keys.FORMAT, keys.FORMAT_NUMBER)
    await redis.rpush(keys.TICK, "not a tick")
    worker = start(**live)
    await worker.says("WRONGTYPE")

    await redis.delete(keys.TICK)

    await eventually(lambda: redis.get(keys.TICK), worker)
    assert worker.process.poll() is None


async def test_a_worker_whose_lease_was_taken_stops_and_says_by_whom(start: Start, live: dict[str, str], redis: Redis):
    worker = start(**live | {"LOG_LEVEL": "error"})
    await eventually(lambda: _ticks(redis, 1), worker)

    await redis.set(keys.LEASE, "elsewhere:17:1", ex=60)

    assert await worker.ended() == 1
    assert worker.said == "elsewhere:17:1 feeds this Redis now, and only one worker does at a time\n"
    assert await redis.get(keys.LEASE) == "elsewhere:17:1"


async def _sampled(redis: Redis) -> list[int]:
    """Return the live ticks: what was filled from one-minute candles lies on whole minutes, long ago."""
    now = int(time.time())
    return [sample.tick for sample in await Reader(redis).read_samples(BTC, now - 40, now)]


async def _ticks(redis: Redis, count: int) -> bool:
    return len([at for at in await _sampled(redis) if at % 60]) >= count


async def _is_at(redis: Redis, at: int) -> bool:
    return (await Reader(redis).read_tick() or 0) >= at


async def _is_missing(redis: Redis, metric: str) -> bool:
    return metric in (await Reader(redis).read_source_states()).get("kraken", {}).get("missing", {})
