import asyncio
import gzip
import json
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.support import naive
from tests.support.shared import shared
from v1.market.replayed import ReplayState
from v1.rules import parse_rule
from v1.store import keys
from worker.latest import DAY, HOUR, MEASURES, MINUTE, Measure, Metric
from worker.latest.market import ReplayMark
from worker.latest.rules import NO_RULES, RuleEngine
from worker.latest.store import Reader, Verifier, Writer, connect
from worker.sampling.pace import ReplayPace
from worker.sampling.recording import HEADER, Recording, open_recording
from worker.sampling.replay import StoreHasOtherSamples, StoreIsPast, replay

ROOT = Path(__file__).resolve().parents[3]
NOON = 1_621_252_800

Rows = Sequence[tuple[int, str, str]]
"""Start, close and volume of candles."""


def unseen(_done: int, _of: int) -> None:
    pass


class Looking(Writer):
    """A writer that lets a test look at the store right after some ticks."""

    def __init__(self, redis: Redis, look: Callable[[int], object], ticks: Iterable[int]) -> None:
        super().__init__(redis)
        self._look, self._ticks = look, frozenset(ticks)

    @asynccontextmanager
    async def open_tick(self, at):
        async with super().open_tick(at) as unit:
            yield unit
            if at in self._ticks:
                await self._look(at)


def cut(source: Path, folder: Path, pairs: Sequence[str], first: int) -> Path:
    """Copy 28 hours of some pairs of a recorded set, from `first` on, into a folder of the same name."""
    made = folder / source.name
    made.mkdir()
    for pair in pairs:
        header, *lines = gzip.decompress((source / f"{pair}.csv.gz").read_bytes()).decode().splitlines()
        kept = [line for line in lines if first <= int(line.partition(",")[0]) < first + 28 * HOUR]
        (made / f"{pair}.csv").write_text("\n".join([header, *kept, ""]))
    return made


def rows(path: Path) -> Rows:
    text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
    cells = [line.split(",") for line in text.splitlines()[1:]]
    return [(int(start), close, volume) for start, _, _, _, close, volume in cells]


async def compare(store: Reader, files: dict[Metric, Rows], at: int) -> None:
    """See that the day up to `at` is what the files say, digit for digit, holes and all."""
    for metric, candles in files.items():
        told = [(start + MINUTE, close, volume) for start, close, volume in candles if at - DAY < start + MINUTE <= at]
        samples = await store.read_samples(metric, at - DAY, at)
        held = [(each.tick, each.value(Measure.PRICE), each.value(Measure.INTERVAL_VOLUME)) for each in samples]
        assert held == told, metric


def variance(sums: naive.Sums) -> Fraction:
    return sums.squares / sums.n - (sums.total / sums.n) ** 2


async def recount(redis: Redis, metrics: Iterable[Metric], at: int) -> None:
    """See that ranks and means are what fractions give, correctly rounded and in exact order."""
    store = Reader(redis)
    days = {metric: await store.read_samples(metric, at - DAY, at) for metric in metrics}
    counted = {metric: naive.sums(day) for metric, day in days.items() if day}
    before = {metric: naive.sums(naive.hour_before(day, at)) for metric, day in days.items() if day}
    for index, measure in enumerate(MEASURES):
        for by, value in (("stddev", naive.stddev), ("cv", naive.cv)):
            moved = {metric: value(sums[index]) for metric, sums in counted.items()}
            ranked = naive.ranked({metric: each for metric, each in moved.items() if each is not None})
            places = (await store.read_ranking(measure, by, 0, 1000)).places
            assert [(place.metric, place.rank, place.value) for place in places] == ranked, (measure, by)
            if by == "stddev":
                exact = [variance(counted[place.metric][index]) for place in places]
                assert exact == sorted(exact, reverse=True), measure
        means = {metric: naive.mean(sums[index]) for metric, sums in before.items()}
        held = dict(await redis.zrange(keys.mean(measure), 0, -1, withscores=True))
        assert held == {metric: mean for metric, mean in means.items() if mean is not None}, measure


SETS = [
    pytest.param(
        "bittrex-20180201",
        ["2GIVE_BTC", "BITB_BTC", "DOGE_BTC", "RDD_BTC", "SC_BTC"],
        1517443200 + 86400,
        id="thin pairs with more holes than minutes",
    ),
    pytest.param(
        "kucoin-spot-20230322",
        ["ARB_USDT", "SHIB_USDT", "BTC_USDT"],
        1679576400 - 2 * HOUR,
        id="a pair that is listed on the second day",
    ),
    pytest.param(
        "binance-spot-20230322",
        ["BTC_USDT", "DOGE_USDT"],
        1679661600 - 14 * HOUR,
        id="an outage of the whole exchange",
    ),
    pytest.param(
        "binance-spot-20210517",
        ["NXS_BTC", "XRP_USDT"],
        1621468800 - 28 * HOUR,
        id="a day on which prices crashed",
    ),
]


@pytest.mark.parametrize("name, pairs, first", SETS)
async def test_history_is_the_files_digit_for_digit_and_all_ranks_and_means_are_exact(
    server: str, tmp_path: Path, name: str, pairs: Sequence[str], first: int
):
    recording = open_recording(cut(shared("market-data", name), tmp_path, pairs, first))
    files = {metric: rows(path) for metric, path in recording.files.items()}
    looks = [recording.first + 5 * HOUR, recording.first + 18 * HOUR, recording.last]
    seen: list[tuple[int, int]] = []
    async with connect(server, "tests") as redis:

        async def look(at: int) -> None:
            await compare(store, files, at)
            await recount(redis, files, at)

        store = Looking(redis, look, looks)
        committed = await replay(recording, store, 60, lambda done, of: seen.append((done, of)))

        count = (recording.last - recording.first) // 60 + 1
        assert committed == count
        assert seen == [(done, count) for done in range(1, count + 1)]
        assert await store.read_tick() == recording.last
        assert (await Verifier(redis).verify(repair=False)).is_clean


# ---- small recordings of our own -----------------------------------------------------------------------------


def write(folder: Path, minutes: int, pairs: Sequence[str] = ("AAA_USD", "BBB_USD"), seed: int = 3) -> Path:
    """Write a recording that begins at noon, with some minutes missing."""
    chance = random.Random(seed)
    folder.mkdir(parents=True)
    for pair in pairs:
        lines = [HEADER]
        for minute in range(minutes):
            if minute in (0, minutes - 1) or chance.random() > 0.1:
                price = f"{chance.uniform(1, 2):.{chance.randrange(2, 9)}f}"
                lines.append(f"{NOON + minute * 60},{price},{price},{price},{price},{chance.randrange(1000)}.5")
        (folder / f"{pair}.csv").write_text("\n".join([*lines, ""]))
    return folder


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    return open_recording(write(tmp_path / "test-spot", 90))


@pytest.mark.parametrize("interval", [1, 5, 60])
async def test_up_to_a_minute_every_candle_is_a_sample(fake: Redis, recording: Recording, interval: int):
    files = {metric: rows(path) for metric, path in recording.files.items()}

    committed = await replay(recording, Writer(fake), interval, unseen)

    assert committed == 90
    await compare(Reader(fake), files, recording.last)


@pytest.mark.parametrize("interval, last", [(300, 90 * 60), (90, 90 * 60), (480, 96 * 60), (3600, 120 * 60)])
async def test_beyond_a_minute_it_goes_on_to_the_tick_that_takes_in_the_last_candle(
    fake: Redis, recording: Recording, interval: int, last: int
):
    seen: list[tuple[int, int]] = []

    committed = await replay(recording, Writer(fake), interval, lambda done, of: seen.append((done, of)))
    again = await replay(recording, Writer(fake), interval, unseen)

    assert await Reader(fake).read_tick() == NOON + last
    assert seen[-1] == (committed, committed)
    assert again == 0


async def test_a_moved_recording_is_the_same_but_for_its_ticks(fake: Redis, recording: Recording):
    moved = recording.shift_to_end(NOON + 10 * DAY)

    await replay(moved, Writer(fake), 60, unseen)

    files = {
        metric: [(start + moved.shift, close, volume) for start, close, volume in rows(path)]
        for metric, path in recording.files.items()
    }
    assert await Reader(fake).read_tick() == NOON + 10 * DAY
    await compare(Reader(fake), files, NOON + 10 * DAY)


async def test_played_twice_it_is_played_once(fake: Redis, recording: Recording):
    await replay(recording, Writer(fake), 60, unseen)
    held = await Reader(fake).read_metric_states(list(recording.files))

    again = await replay(recording, Writer(fake), 60, unseen)

    assert again == 0
    assert await Reader(fake).read_metric_states(list(recording.files)) == held


async def test_a_store_that_is_past_the_recording_is_left_alone(fake: Redis, recording: Recording):
    store = Writer(fake)
    await replay(recording.shift_by(60), store, 60, unseen)
    held = await fake.keys("*")

    with pytest.raises(StoreIsPast) as raised:
        await replay(recording, store, 60, unseen)

    assert str(raised.value) == (
        f"the store has ticks until {recording.last + 60} and the recording ends at {recording.last}: "
        "play it into another TRACKER_DATA_DIR, or with a later --until"
    )
    assert await fake.keys("*") == held


async def test_a_store_that_holds_something_else_in_the_middle_of_the_recording_is_left_alone(
    fake: Redis, recording: Recording
):
    """For one, a recording that is played until `now` was cut off, and `now` is later by the second time."""
    store = Writer(fake)
    await replay(recording.shift_by(-1800), store, 60, unseen)

    with pytest.raises(
        StoreHasOtherSamples, match=r"the store has ticks until \d+, and its sample of TEST:AAAUSD then differs"
    ):
        await replay(recording, store, 60, unseen)

    assert await store.read_tick() == recording.last - 1800


async def test_a_store_of_other_metrics_in_the_middle_of_the_recording_is_left_alone(
    fake: Redis, recording: Recording, tmp_path: Path
):
    store = Writer(fake)
    await replay(open_recording(write(tmp_path / "other-spot", 30)), store, 60, unseen)

    with pytest.raises(StoreHasOtherSamples):
        await replay(recording, store, 60, unseen)


async def test_a_recording_that_comes_after_what_is_there_is_added_to_it(fake: Redis, recording: Recording):
    store = Writer(fake)
    await replay(recording, store, 60, unseen)

    committed = await replay(recording.shift_by(2 * HOUR), store, 60, unseen)

    assert committed == 90
    metric = next(iter(recording.files))
    ticks = [start + MINUTE + shift for shift in (0, 2 * HOUR) for start, _, _ in rows(recording.files[metric])]
    assert [sample.tick for sample in await store.read_samples(metric, NOON, NOON + DAY)] == ticks
    assert (await Verifier(fake).verify(repair=False)).is_clean


# ---- at a speed ------------------------------------------------------------------------------------------------


class Watch:
    """A clock that goes on only while somebody sleeps, and what the store said at those times."""

    def __init__(self, look: Callable[[], Awaitable[object]]) -> None:
        self.now = 0.0
        self.seen: list[Any] = []
        self._look = look

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.seen.append(await self._look())


async def dump_values(redis: Redis) -> dict[str, object]:
    """Return what every key holds, but the events, which are named by when they were written, and the mark."""
    held: dict[str, object] = {}
    async for key in redis.scan_iter():
        kind = await redis.type(key)
        if kind == "zset":
            held[key] = await redis.zrange(key, 0, -1, withscores=True)
        elif kind == "string" and key != keys.REPLAY:
            held[key] = await redis.get(key)
    return held


async def test_at_a_speed_it_plays_the_same_ticks_one_after_the_other(fake: Redis, recording: Recording):
    await replay(recording, Writer(fake), 60, unseen)
    unpaced = await dump_values(fake)
    await fake.flushall()
    watch = Watch(Reader(fake).read_tick)

    committed = await replay(recording, Writer(fake), 60, unseen, pace=ReplayPace("60", 0, watch, watch.sleep))

    assert committed == 90
    # While it waits for a tick, the one before is there.
    assert watch.seen == [recording.first + 60 * minute for minute in range(89)]
    assert watch.now == pytest.approx(89.0)
    assert await dump_values(fake) == unpaced


async def test_a_store_is_marked_before_the_first_tick_and_stays_so(fake: Redis, recording: Recording):
    store = Writer(fake)
    watch = Watch(store.replays.read)
    moved = recording.shift_by(600)
    pace = ReplayPace("30", 0, watch, watch.sleep)

    await replay(moved, store, 60, unseen, pace=pace)

    mark = ReplayMark(moved.first, moved.last, 600, "30")
    assert {each.mark for each in watch.seen} == {mark}
    assert [each.at for each in watch.seen] == [moved.first + 60 * minute for minute in range(89)]
    assert (await store.replays.read()) == (mark, ReplayState.OVER, moved.last)


async def test_without_a_speed_it_is_marked_too(fake: Redis, recording: Recording):
    await replay(recording, Writer(fake), 300, unseen)

    progress = await Writer(fake).replays.read()
    assert progress.mark == ReplayMark(NOON + 300, NOON + 90 * 60, 0, None)


async def test_what_is_refused_is_not_marked(fake: Redis, recording: Recording):
    store = Writer(fake)
    await replay(recording.shift_by(60), store, 60, unseen)
    await store.replays.clear()

    with pytest.raises(StoreIsPast):
        await replay(recording, store, 60, unseen)

    assert await store.replays.read() is None


async def test_broken_off_and_started_again_it_goes_on_without_waiting_for_what_is_there(
    fake: Redis, recording: Recording
):
    watch = Watch(Reader(fake).read_tick)

    class Interrupted(Exception):
        pass

    async def interrupt(seconds: float) -> None:
        await watch.sleep(seconds)
        if len(watch.seen) == 30:
            raise Interrupted

    with pytest.raises(Interrupted):
        await replay(recording, Writer(fake), 60, unseen, pace=ReplayPace("60", 0, watch, interrupt))
    watch.now = 0.0

    committed = await replay(recording, Writer(fake), 60, unseen, pace=ReplayPace("60", 0, watch, watch.sleep))

    assert committed == 60
    assert watch.now == pytest.approx(59.0)
    assert (await Verifier(fake).verify(repair=False)).is_clean


class ChangingRules:
    """Rules that somebody changes in the middle of a replay."""

    def __init__(self, engines: Iterable[RuleEngine]) -> None:
        self._engines = iter(engines)
        self.engine = NO_RULES

    async def read(self) -> None:
        pass

    async def refresh(self) -> None:
        self.engine = next(self._engines, self.engine)


async def test_rules_that_are_made_while_it_is_watched_count_from_the_next_tick_on(fake: Redis, recording: Recording):
    above = RuleEngine([parse_rule({"id": "above", "kind": "threshold", "above": 0, "cooldown": 0})], (), MINUTE)
    watch = Watch(Reader(fake).read_tick)
    rules = ChangingRules([*[NO_RULES] * 10, above])

    await replay(recording, Writer(fake), 60, unseen, rules=rules, pace=ReplayPace("60", 0, watch, watch.sleep))

    (first,) = await fake.zrange(keys.ALERTS, 0, 0)
    assert json.loads(first)["at"] == recording.first + 60 * 10


# ---- kill -9 ---------------------------------------------------------------------------------------------------


async def dump(address: str) -> dict[bytes, bytes]:
    """Return every key as Redis itself serialises it, but the lease, and the events: each is named by when it was written."""
    others = (keys.LEASE.encode(), keys.EVENTS.encode())
    async with Redis.from_url(address) as redis:
        found = [key async for key in redis.scan_iter() if key not in others]
        return {key: await redis.dump(key) for key in found}


async def play(folder: Path, home: Path, address: str, kill_at: int | None = None) -> int:
    """Play a recording in a process of its own, killed as soon as the store has a tick; return its exit code."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith("TRACKER_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "worker", "replay", str(folder)],
        cwd=folder.parent,
        env=outside | {"PYTHONPATH": str(ROOT), "TRACKER_REDIS_URL": address, "TRACKER_DATA_DIR": str(home)},
        stderr=subprocess.PIPE,
    )
    async with connect(address, "tests") as redis:
        while process.poll() is None:
            if kill_at is not None and (await Reader(redis).read_tick() or 0) >= kill_at:
                process.kill()
            await asyncio.sleep(0.001)
    process.communicate()
    return process.returncode


@pytest.fixture
async def other_server(valkey: str) -> AsyncIterator[str]:
    """The embedded server, emptied, with keys whose end is that of a process that was killed."""
    async with connect(valkey, "tests") as redis:
        await redis.flushall()
        yield valkey
        await redis.flushall()


async def test_killed_at_random_and_gone_on_with_it_leaves_the_same_bytes_as_undisturbed(
    other_server: str, tmp_path: Path
):
    minutes = 1700
    folder = write(tmp_path / "test-spot", minutes, ("AAA_USD", "BBB_USD", "CCC_USD", "DDD_USD"))
    chance = random.Random()
    points = sorted(NOON + 60 * chance.randrange(1, minutes - 200) for _ in range(2))
    assert await play(folder, tmp_path / "undisturbed", other_server) == 0
    undisturbed = await dump(other_server)
    async with connect(other_server, "tests") as redis:
        await redis.flushall()

    killed = [await play(folder, tmp_path / "killed", other_server, point) for point in points]
    ended = await play(folder, tmp_path / "killed", other_server)

    assert (killed, ended) == ([-9] * 2, 0), points
    assert await dump(other_server) == undisturbed, points


def test_the_data_is_what_the_tests_above_think_it_is():
    """Some pair has holes, ARB starts late, and the whole of Binance was silent."""
    thin = rows(shared("market-data", "bittrex-20180201", "2GIVE_BTC.csv.gz"))
    arb = rows(shared("market-data", "kucoin-spot-20230322", "ARB_USDT.csv.gz"))
    btc = rows(shared("market-data", "binance-spot-20230322", "BTC_USDT.csv.gz"))

    assert len(thin) < (thin[-1][0] - thin[0][0]) // 60 / 2
    assert arb[0][0] == 1679576400
    assert max(later - start for (start, *_), (later, *_) in pairwise(btc)) == 81 * 60
