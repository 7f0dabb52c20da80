import asyncio
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession
from fakeredis import FakeAsyncRedis, FakeServer
from redis.asyncio import Redis
from structlog.testing import capture_logs

from tests.support import servers
from tests.support.archived import NoBackfill
from tests.support.invented import BTC, ETH, NOON, Beats, Invented, price
from v1.market.metric_state import read_state
from worker.backfill.service import BackfillService
from worker.clock.ticks import ticks
from worker.latest import DAY, HOUR, MINUTE, Measure, Metric, Reading
from worker.latest.market import SourceReading
from worker.latest.store import Verifier, Writer, connect
from worker.sampling.rule_provider import FixedRules, RuleSource
from worker.sampling.sampler import BEHIND_SECONDS, Sampler
from worker.sampling.tick_buffer import MEMORY_SECONDS, TickBuffer
from worker.sampling.tick_journal import TickJournal, open_journal
from worker.sources.errors import SourceUnreachable
from worker.sources.supervised import SupervisedSource
from worker.sources.wishes import SourceReport


async def briefly(_seconds: float) -> None:
    await asyncio.sleep(0.001)


async def until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not is_so():
            await asyncio.sleep(0.002)


class Sampling:
    """A live sampler and its backfill on a store of its own, and what a test asks about it."""

    def __init__(
        self,
        session: ClientSession,
        store: Writer,
        sources: Sequence[Invented],
        interval: int = MINUTE,
        *,
        rules: RuleSource | None = None,
        wishes: Sequence[str] = (),
        journal: TickJournal | None = None,
    ) -> None:
        self.store = store
        self.beats = Beats()
        self._watched = [SupervisedSource(source, session, timeout=0.2) for source in sources]
        self.report = SourceReport(self._watched, wishes)
        self.backfill = BackfillService(
            sources=self._watched,
            store=store,
            interval=interval,
            clock=lambda: self.live._now,
            report=self.report,
            sleep=briefly,
        )
        self.live = Sampler(
            sources=self._watched,
            store=store,
            interval=interval,
            rules=rules or FixedRules(),
            report=self.report,
            backfill=self.backfill,
            sleep=briefly,
            journal=journal,
        )

    async def run(self, now: int) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.backfill.run())
            await self.live.run(now, aiter(self.beats))

    @asynccontextmanager
    async def going(self, now: int = NOON) -> AsyncIterator[None]:
        """Run it; at the end it is cut off, wherever it is."""
        running = asyncio.create_task(self.run(now))
        try:
            yield
        finally:
            running.cancel()
            await asyncio.wait([running], timeout=60)

        assert running.done(), "it does not stop"
        assert running.cancelled(), running.exception()

    async def beat(self, *ticks: int) -> None:
        """Let beats come, one after the other, each when the one before is committed."""
        for at in ticks:
            self.beats.beat(at)
            await self.committed(at)

    async def committed(self, at: int) -> None:
        await until(lambda: self.live._newest >= at)

    async def day(self, metric: Metric = BTC, end: int = NOON) -> list[int]:
        return [sample.tick for sample in await self.store.read_samples(metric, end - DAY, end)]

    async def whole(self, end: int, *metrics: Metric) -> None:
        """Wait until no metric's day that ends at `end` has a hole."""
        ticks = list(range(end - DAY + MINUTE, end + 1, MINUTE))
        async with asyncio.timeout(60):
            for metric in metrics:
                while await self.day(metric, end) != ticks:
                    await asyncio.sleep(0.01)


@contextmanager
def told() -> Iterator[list[tuple[str, str]]]:
    """Return what was logged at `info` and above, level and event."""
    lines: list[tuple[str, str]] = []
    with capture_logs() as logs:
        yield lines
    lines += [(entry["log_level"], entry["event"]) for entry in logs if entry["log_level"] != "debug"]


async def is_clean(redis: Redis) -> bool:
    return (await Verifier(redis).verify(repair=False)).is_clean


async def settled(redis: Redis) -> None:
    """Wait until everything follows from the samples: what was filled is ranked."""
    async with asyncio.timeout(60):
        while not await is_clean(redis):
            await asyncio.sleep(0.01)


def idle(*metrics: Metric, name: str = "invented") -> Invented:
    """Make a source that has no candles, so that nothing is filled."""
    source = Invented(*metrics, name=name)
    source.keeps = 0
    return source


async def test_every_beat_is_a_tick_with_what_the_sources_said(redis: Redis, session: ClientSession):
    sampling = Sampling(session, Writer(redis), [idle(BTC, ETH)])

    async with sampling.going():
        await sampling.beat(NOON + 60)
        await sampling.beat(NOON + 120)

    samples = await sampling.store.read_samples(ETH, NOON, NOON + HOUR)
    assert [(each.tick, each.value(Measure.PRICE)) for each in samples] == [
        (NOON + 60, price(ETH, NOON + 60)),
        (NOON + 120, price(ETH, NOON + 120)),
    ]
    assert await sampling.store.read_tick() == NOON + 120
    assert await is_clean(redis)


async def test_another_source_serves_a_metric_at_the_tick_at_which_its_own_fails(fake: Redis, session: ClientSession):
    first, second = idle(BTC, name="first"), idle(BTC, ETH, name="second")
    sampling = Sampling(session, Writer(fake), [first, second])
    gave = []

    async with sampling.going():
        for minute, trouble in enumerate([None, SourceUnreachable("gone"), None], 1):
            first.trouble = trouble
            await sampling.beat(NOON + 60 * minute)
            records = await sampling.store.read_metric_states([BTC, ETH])
            gave.append([record.source for record in records if record])

    assert gave == [["first", "second"], ["second", "second"], ["second", "second"]]
    assert await sampling.day(end=NOON + 180) == [NOON + 60, NOON + 120, NOON + 180]


async def test_while_all_goes_well_it_says_nothing_more(fake: Redis, session: ClientSession):
    sampling = Sampling(session, Writer(fake), [idle(BTC)])

    with told() as lines:
        async with sampling.going():
            await sampling.beat(NOON + 60)
            await sampling.beat(NOON + 120)

    assert lines == [("info", "source is open")]


async def test_at_the_start_the_windows_are_moved_up_before_any_source_has_answered(
    fake: Redis, session: ClientSession
):
    before = Sampling(session, Writer(fake), [idle(BTC, ETH)])
    async with before.going(NOON - HOUR):
        await before.beat(NOON - HOUR + 60)
    source = idle(BTC, ETH)
    source.gate.clear()
    sampling = Sampling(session, Writer(fake), [source])

    async with sampling.going(NOON):
        await sampling.committed(NOON)
        await until(lambda: source.opened)

    assert await sampling.store.read_tick() == NOON
    assert [record.at for record in await sampling.store.read_metric_states([BTC, ETH]) if record] == [NOON, NOON]
    assert await is_clean(fake)


async def test_a_source_that_is_slow_to_open_costs_the_others_no_tick(fake: Redis, session: ClientSession):
    slow, quick = idle(BTC, name="slow"), idle(ETH, name="quick")
    slow.gate.clear()
    sampling = Sampling(session, Writer(fake), [slow, quick])

    async with sampling.going():
        await sampling.beat(NOON + 60)
        await sampling.beat(NOON + 120)
        slow.gate.set()
        await sampling.beat(NOON + 180)

    assert await sampling.day(ETH, NOON + 180) == [NOON + 60, NOON + 120, NOON + 180]
    assert await sampling.day(BTC, NOON + 180) == [NOON + 180]
    assert slow.opened == 1


async def test_what_a_provider_does_not_have_is_named_at_start_and_to_whoever_asks_the_store(
    fake: Redis, session: ClientSession
):
    source = idle(BTC)
    source.missing = {ETH: "invented has no ETHUSD"}
    sampling = Sampling(session, Writer(fake), [source], wishes=[BTC, ETH])

    with told() as lines:
        async with sampling.going():
            await until(lambda: source.opened)
            async with asyncio.timeout(60):
                while not (await sampling.store.read_source_states()).get("invented", {}).get("missing"):
                    await asyncio.sleep(0.002)

    assert lines.count(("warning", "no source gives what is wished for")) == 1
    assert await sampling.store.read_unmet_wishes() == {ETH: "invented has no ETHUSD"}
    assert (await sampling.store.read_source_states())["invented"]["missing"] == {ETH: "invented has no ETHUSD"}


async def test_the_store_is_told_how_each_source_does(fake: Redis, session: ClientSession):
    source, other = idle(BTC), idle(ETH, name="other")
    sampling = Sampling(session, Writer(fake), [source, other])

    async with sampling.going():
        await sampling.beat(NOON + 60)
        source.trouble = SourceUnreachable("no answer")
        await sampling.beat(NOON + 120)
        await until(lambda: sampling.report._noted[0]["invented"]["failures"])  # type: ignore[index]  # it was noted

    said = await sampling.store.read_source_states()
    assert [(name, each["state"], each["since"], each["reason"]) for name, each in said.items()] == [
        ("invented", "failing", NOON + 120, "no answer"),
        ("other", "ok", None, None),
    ]


async def test_a_failing_source_is_told_once_and_ticks_go_on_without_it(fake: Redis, session: ClientSession):
    source = idle(BTC)
    sampling = Sampling(session, Writer(fake), [source])

    with told() as lines:
        async with sampling.going():
            await sampling.beat(NOON + 60)
            source.trouble = SourceUnreachable("no answer")
            for minute in range(2, 6):
                await sampling.beat(NOON + 60 * minute)

    assert [line for line in lines if "source" in line[1]] == [("info", "source is open"), ("warning", "source fails")]
    assert await sampling.store.read_tick() == NOON + 300


async def test_ticks_that_a_killed_worker_left_in_files_are_committed_by_the_next(
    fake: Redis, session: ClientSession, tmp_path: Path
):
    left = range(NOON - 600, NOON, 60)
    with open_journal(tmp_path, MINUTE, 2**20, after=0) as journal:
        buffer = TickBuffer(MINUTE, journal, memory_bytes=0)
        for at in (NOON - 660, *left, NOON):  # the first and the last are in memory alone
            buffer.add(at, {BTC: SourceReading(Reading(f"{at}"), "invented")})

    with open_journal(tmp_path, MINUTE, 2**20, after=0) as journal:
        sampling = Sampling(session, Writer(fake), [idle(BTC)], journal=journal)
        async with sampling.going():
            await sampling.beat(NOON + 60)

    samples = await sampling.store.read_samples(BTC, NOON - DAY, NOON)
    assert [(each.tick, each.value(Measure.PRICE)) for each in samples] == [(at, f"{at}") for at in left]
    assert list(tmp_path.glob("ticks-*")) == []


# ---- filling ---------------------------------------------------------------------------------------------


async def test_the_past_day_is_filled_at_start_while_live_ticks_go_on(redis: Redis, session: ClientSession):
    sampling = Sampling(session, Writer(redis), [Invented(BTC, ETH)])

    async with sampling.going():
        await sampling.beat(NOON + 60)
        await sampling.whole(NOON + 60, BTC, ETH)
        await settled(redis)


async def test_after_a_worker_was_dead_for_37_minutes_no_hole_remains(redis: Redis, session: ClientSession):
    async with (before := Sampling(session, Writer(redis), [Invented(BTC, ETH)])).going():
        await before.beat(*range(NOON + 60, NOON + 601, 60))
        await before.whole(NOON + 600, BTC, ETH)
    source = Invented(BTC, ETH)
    after = Sampling(session, Writer(redis), [source])
    back = NOON + 600 + 37 * 60

    with told() as lines:
        async with after.going(back):
            await after.whole(back, BTC, ETH)
            await after.beat(back + 60)
            await settled(redis)

    assert await after.day(end=back + 60) == list(range(back + 120 - DAY, back + 61, 60))
    assert {start for _, start, _ in source.candles_asked} == {NOON + 600}
    assert ("warning", "ticks are missing") in lines


async def test_a_worker_that_is_started_again_within_the_minute_moves_nothing(fake: Redis, session: ClientSession):
    async with (before := Sampling(session, Writer(fake), [idle(BTC)])).going():
        await before.beat(NOON + 60)
    held = await before.store.read_metric_states([BTC])
    after = Sampling(session, Writer(fake), [idle(BTC)])

    with told() as lines:
        async with after.going(NOON + 60):
            await after.committed(NOON + 60)

    assert await after.store.read_metric_states([BTC]) == held
    assert ("warning", "ticks are missing") not in lines


async def test_what_a_source_missed_is_filled_when_it_is_back_although_another_kept_the_ticks_going(
    fake: Redis, session: ClientSession
):
    source, other = Invented(BTC), Invented(ETH, name="other")
    sampling = Sampling(session, Writer(fake), [source, other])

    async with sampling.going():
        await sampling.beat(NOON + 60)
        await sampling.whole(NOON + 60, BTC, ETH)
        source.trouble = SourceUnreachable("no answer")
        await sampling.beat(*range(NOON + 120, NOON + 601, 60))
        assert NOON + 300 not in await sampling.day(BTC, NOON + 600)
        other.candles_asked.clear()
        source.trouble = None
        await sampling.beat(NOON + 660)
        await sampling.whole(NOON + 660, BTC, ETH)

    assert other.candles_asked == []


async def test_the_day_of_a_source_that_could_not_be_opened_at_start_is_filled_when_it_is_back(
    fake: Redis, session: ClientSession
):
    source = Invented(BTC)
    source.trouble = SourceUnreachable("no answer")
    sampling = Sampling(session, Writer(fake), [source])

    async with sampling.going():
        await sampling.beat(NOON + 60)
        source.trouble = None
        await sampling.beat(NOON + 120)
        await sampling.whole(NOON + 120, BTC)


async def test_beats_that_were_skipped_are_told_and_filled(fake: Redis, session: ClientSession):
    sampling = Sampling(session, Writer(fake), [Invented(BTC)])

    with told() as lines:
        async with sampling.going():
            await sampling.beat(NOON + 60)
            await sampling.whole(NOON + 60, BTC)
            await sampling.beat(NOON + HOUR)
            await sampling.whole(NOON + HOUR, BTC)

    assert lines.count(("warning", "ticks are missing")) == 1


# ---- Redis goes away ---------------------------------------------------------------------------------------


class Outage:
    """A Redis that can be switched off."""

    def __init__(self) -> None:
        self.server = FakeServer()
        self.redis = FakeAsyncRedis(server=self.server, decode_responses=True)

    def begins(self) -> None:
        self.server.connected = False

    def ends(self) -> None:
        self.server.connected = True

    async def is_met(self, sampling: Sampling, *ticks: int) -> None:
        """Begin, let beats come, and wait until the last of them was kept."""
        self.begins()
        sampling.beats.beat(ticks[0])
        await until(lambda: sampling.live._is_away)
        sampling.beats.beat(*ticks[1:])
        await until(lambda: sampling.live._now == ticks[-1])
        await until(lambda: len(sampling.live._buffer) >= len(ticks))


@pytest.fixture
async def outage() -> AsyncIterator[Outage]:
    made = Outage()
    async with made.redis:
        yield made


async def test_ticks_of_an_outage_of_redis_are_committed_when_it_is_back_each_once(
    outage: Outage, session: ClientSession
):
    sampling = Sampling(session, Writer(outage.redis), [idle(BTC, ETH)])
    ticks = range(NOON + 60, NOON + 62 * 60, 60)

    with told() as lines:
        async with sampling.going():
            await sampling.beat(*ticks[:2])
            await outage.is_met(sampling, *ticks[2:-1])
            outage.ends()
            await sampling.committed(ticks[-2])
            await sampling.beat(ticks[-1])

    for metric in (BTC, ETH):
        samples = await sampling.store.read_samples(metric, NOON, ticks[-1])
        assert [(each.tick, each.value(Measure.PRICE)) for each in samples] == [(at, price(metric, at)) for at in ticks]
    assert await is_clean(outage.redis)
    assert [line for line in lines if "Redis" in line[1]] == [
        ("warning", "Redis is away, ticks are kept"),
        ("info", "Redis is back, ticks are committed"),
    ]


async def test_what_was_computed_is_what_it_would_have_been_without_the_outage(
    outage: Outage, fake: Redis, session: ClientSession
):
    disturbed = Sampling(session, Writer(outage.redis), [idle(BTC, ETH)])
    undisturbed = Sampling(session, Writer(fake), [idle(BTC, ETH)])
    ticks = range(NOON + 60, NOON + 62 * 60, 60)

    async with disturbed.going(), undisturbed.going():
        await outage.is_met(disturbed, *ticks)
        outage.ends()
        await undisturbed.beat(*ticks)
        await disturbed.committed(ticks[-1])

    for key in await fake.keys("v1:moments:*"):
        late, right = [read_state(await redis.get(key)) for redis in (outage.redis, fake)]
        # How a sample came is not what was computed.
        assert late._replace(marks="") == right._replace(marks="")


async def test_a_redis_that_is_away_at_the_start_is_waited_for(outage: Outage, session: ClientSession):
    sampling = Sampling(session, Writer(outage.redis), [Invented(BTC)])
    outage.begins()

    async with sampling.going():
        await outage.is_met(sampling, NOON + 60, NOON + 120)
        outage.ends()
        await sampling.committed(NOON + 120)
        await sampling.whole(NOON + 120, BTC)


async def test_what_redis_lost_is_filled_from_candles(outage: Outage, session: ClientSession):
    source = Invented(BTC)
    sampling = Sampling(session, Writer(outage.redis), [source])

    async with sampling.going():
        await sampling.beat(NOON + 60)
        await sampling.whole(NOON + 60, BTC)
        await outage.redis.flushall()
        await outage.is_met(sampling, NOON + 120)
        outage.ends()
        await sampling.committed(NOON + 120)
        await sampling.whole(NOON + 120, BTC)
        await settled(outage.redis)

    assert (await sampling.store.read_source_states())["invented"]["metrics"] == 1


async def test_what_redis_had_said_yes_to_and_forgot_is_committed_again(outage: Outage, session: ClientSession):
    sampling = Sampling(session, Writer(outage.redis), [idle(BTC)], interval=1)

    async with sampling.going():
        await sampling.beat(*range(NOON + 1, NOON + 6))
        await outage.redis.flushall()
        await outage.is_met(sampling, NOON + 6)
        outage.ends()
        await sampling.beat(NOON + 7)

    assert await sampling.day(end=NOON + 7) == list(range(NOON + 1, NOON + 8))
    assert await is_clean(outage.redis)


async def test_a_redis_that_was_started_again_between_two_ticks_and_has_less_than_before_is_noticed(
    fake: Redis, session: ClientSession
):
    sampling = Sampling(session, Writer(fake), [Invented(BTC)])

    with told() as lines:
        async with sampling.going():
            await sampling.beat(NOON + 60)
            await sampling.whole(NOON + 60, BTC)
            await settled(fake)
            await fake.flushall()
            await sampling.beat(NOON + 120)
            await sampling.whole(NOON + 120, BTC)
            await settled(fake)

    assert lines.count(("warning", "Redis has lost ticks")) == 1


async def test_filling_that_an_outage_cut_off_goes_on_afterwards(outage: Outage, session: ClientSession):
    source = Invented(BTC, ETH)
    sampling = Sampling(session, Writer(outage.redis), [source])

    async with sampling.going():
        source.gate.clear()
        await sampling.committed(NOON)
        await until(lambda: source.opened)
        source.gate.set()
        await until(lambda: source.candles_asked)
        outage.begins()
        await asyncio.sleep(0.05)
        outage.ends()
        await sampling.whole(NOON, BTC, ETH)
        await settled(outage.redis)


async def test_more_than_the_backlog_holds_is_dropped_oldest_first_and_told(outage: Outage, session: ClientSession):
    sampling = Sampling(session, Writer(outage.redis), [idle(BTC)], interval=300)
    ticks = range(NOON + 300, NOON + MEMORY_SECONDS + 3 * 300, 300)
    outage.begins()

    with capture_logs() as logs:
        async with sampling.going():
            sampling.beats.beat(*ticks)
            await until(lambda: sampling.live._now == ticks[-1])
            outage.ends()
            await sampling.committed(ticks[-1])
            await until(lambda: not sampling.live._is_away)

    assert await sampling.day(end=ticks[-1]) == list(ticks)[-MEMORY_SECONDS // 300 :]
    assert [entry["dropped"] for entry in logs if "back" in entry["event"]] == [3]


class Slow(Writer):
    """A Redis that takes its time to commit."""

    def __init__(self, redis: Redis) -> None:
        super().__init__(redis)
        self.gate = asyncio.Event()
        self.gate.set()

    @asynccontextmanager
    async def open_tick(self, at):
        async with super().open_tick(at) as unit:
            await self.gate.wait()
            yield unit


async def test_a_redis_that_hangs_costs_no_tick(fake: Redis, session: ClientSession):
    store, source = Slow(fake), idle(BTC)
    sampling = Sampling(session, store, [source], interval=1)
    ticks = range(NOON + 1, NOON + 31)

    async with sampling.going():
        await sampling.beat(ticks[0])
        store.gate.clear()
        sampling.beats.beat(*ticks[1:])
        await until(lambda: source.fetched[-1:] == [ticks[-1]])
        store.gate.set()
        await sampling.committed(ticks[-1])

    assert await sampling.day(end=ticks[-1]) == list(ticks)


async def test_ticks_that_take_longer_than_their_interval_skip_beats_instead_of_coming_ever_later(
    fake: Redis, session: ClientSession
):
    store, source = Slow(fake), idle(BTC)
    sampling = Sampling(session, store, [source], interval=1)
    ticks = range(NOON + 1, NOON + 1000)

    async with sampling.going():
        await sampling.beat(ticks[0])
        store.gate.clear()
        sampling.beats.beat(*ticks[1:])
        await until(lambda: sampling.live._now == ticks[-1])
        waiting = len(sampling.live._buffer)
        store.gate.set()
        await until(lambda: not sampling.live._buffer)
        await sampling.beat(ticks[-1] + 1)

    assert waiting == BEHIND_SECONDS + 1
    assert (await sampling.day(end=ticks[-1] + 1))[-1] == ticks[-1] + 1


# ---- cut off, and clocks that are wrong ----------------------------------------------------------------------


async def test_cut_off_in_the_middle_of_a_commit_and_started_again_everything_still_follows_from_the_samples(
    server: str, session: ClientSession
):
    async with connect(server, "tests") as redis:
        for attempt in range(12):
            now = NOON + attempt * 300
            sampling = Sampling(session, Writer(redis), [idle(*[Metric(f"INVENTED:{name}USD") for name in range(50)])])
            async with sampling.going(now):
                sampling.beats.beat(now + 60, now + 120)
                await until(lambda sampling=sampling: sampling.store.turn.locked())
                await asyncio.sleep(0.001 * attempt)

        last = Sampling(session, Writer(redis), [idle(*[Metric(f"INVENTED:{name}USD") for name in range(50)])])
        async with last.going(NOON + 2 * HOUR):
            await last.beat(NOON + 2 * HOUR + 60)

        assert await is_clean(redis)


async def test_ticks_of_the_future_stand_and_nothing_is_added_before_them(fake: Redis, session: ClientSession):
    """A clock was an hour ahead for a while; now it is right, and the worker is started again."""
    async with (ahead := Sampling(session, Writer(fake), [idle(BTC, ETH)])).going(NOON + HOUR):
        await ahead.beat(NOON + HOUR + 60)
    source = idle(BTC, ETH)
    sampling = Sampling(session, Writer(fake), [source])

    with told() as lines:
        async with sampling.going(NOON):
            sampling.beats.beat(NOON + 60, NOON + 120)
            await until(lambda: NOON + 120 in source.fetched)
            await until(lambda: not sampling.live._buffer)
            await until(lambda: source.candles_asked)
            tick, clean = await sampling.store.read_tick(), await is_clean(fake)
            await sampling.beat(NOON + HOUR + 120)

    assert [line for line in lines if "future" in line[1]] == [
        ("warning", "the store has ticks of the future, and nothing is added until then: a clock may have been wrong")
    ]
    assert (tick, clean) == (NOON + HOUR + 60, True)
    assert max(end for _, _, end in source.candles_asked[:2]) <= NOON + 120
    assert await sampling.day(end=NOON + 2 * HOUR) == [NOON + HOUR + 60, NOON + HOUR + 120]


async def test_a_mistake_of_ours_stops_the_worker_and_is_not_swallowed(fake: Redis, session: ClientSession):
    source = idle(BTC)
    source.reading = None  # type: ignore[assignment, method-assign]  # the mistake
    sampling = Sampling(session, Writer(fake), [source])
    sampling.beats.beat(NOON + 60)

    with pytest.raises(BaseExceptionGroup) as raised:
        await sampling.run(NOON)

    assert raised.group_contains(TypeError)


# ---- the real thing ------------------------------------------------------------------------------------------


class Killable:
    """A real server on its append-only file, that can be killed with -9 and started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.address = servers.address(folder)
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        self._process = await asyncio.to_thread(servers.start, servers.embedded(), self._folder)

    def kill(self) -> None:
        if self._process:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()


@pytest.fixture
async def killable(tmp_path: Path) -> AsyncIterator[Killable]:
    server = Killable(tmp_path)
    await server.start()
    yield server
    server.kill()


async def test_redis_killed_and_restarted_while_sampling_every_second_costs_no_tick(
    killable: Killable, session: ClientSession
):
    """The clock is the real one, too. Redis is away for some seconds, twice."""
    source = idle(*[Metric(f"INVENTED:{name}USD") for name in range(20)])
    async with connect(killable.address, "tests") as redis:
        watched = [SupervisedSource(source, session, 0.8)]
        live = Sampler(
            sources=watched,
            store=Writer(redis),
            interval=1,
            rules=FixedRules(),
            report=SourceReport(watched),
            backfill=NoBackfill(),
        )
        with told() as lines:
            task = asyncio.create_task(live.run(int(time.time()), ticks(1)))
            for _ in range(2):
                await until(lambda: len(source.fetched) > 1 and live._newest == source.fetched[-1])
                killable.kill()
                seen = len(source.fetched)
                await until(lambda seen=seen: len(source.fetched) >= seen + 2)
                await killable.start()
                await until(lambda: not live._is_away and live._newest == source.fetched[-1])
            task.cancel()
            await asyncio.wait([task])

        made = [at for at in source.fetched if at <= live._newest]
        for metric in source.metrics:
            samples = await Writer(redis).read_samples(metric, made[0] - 1, made[-1])
            assert [(each.tick, each.value(Measure.PRICE)) for each in samples] == [
                (at, price(metric, at)) for at in made
            ]
        assert await is_clean(redis)
    # On a busy disk it may also forget what it had said yes to.
    changes = [event for _, event in lines if "Redis" in event and "lost ticks" not in event]
    assert changes == ["Redis is away, ticks are kept", "Redis is back, ticks are committed"] * 2


async def test_told_to_stop_at_whatever_moment_it_stops(server: str, session: ClientSession):
    """redis-py, on Python 3.11, swallows a cancellation that comes when it has just sent something."""
    async with connect(server, "tests") as redis:
        for attempt in range(150):
            sampling = Sampling(session, Writer(redis), [Invented(BTC)])
            async with sampling.going(NOON + attempt * 60):
                for _ in range(attempt):
                    await asyncio.sleep(0)
