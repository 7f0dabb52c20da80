"""A sample every second, the shortest interval there is: no tick is missed, whatever is derived covers all of them."""

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest
from aiohttp import ClientSession

from tests.support.archived import NoBackfill
from tests.support.serving import Clock, serving
from worker.archiving.rollup import HourlyRollup, RollupOptions
from worker.clock.ticks import ticks
from worker.latest import HOUR, MINUTE, Metric
from worker.latest.archive import ArchiveWriter, connect_archive
from worker.latest.rules import DEFAULTS, RuleEngine
from worker.latest.store import Verifier, Writer, connect
from worker.sampling.rule_provider import FixedRules
from worker.sampling.sampler import Sampler
from worker.settings import WorkerSettings
from worker.sources.simulated import SimulatedSource
from worker.sources.supervised import SupervisedSource
from worker.sources.wishes import SourceReport

NOON = 1_621_252_800
TICKS = 150
BTC = Metric("SIMULATED:BTCUSD")


class StandingClock:
    """A clock that a sleep moves on, and nothing else."""

    def __init__(self) -> None:
        self.now = NOON - 0.5

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += max(0.0, seconds)


async def sample_all(store: Writer, session: ClientSession) -> None:
    """Sample a tick each second, by a clock that waits for each to be committed."""
    source = SupervisedSource(SimulatedSource([BTC], 1), session, timeout=30)
    report, clock = SourceReport([source]), StandingClock()
    sampler = Sampler(
        sources=[source],
        store=store,
        interval=1,
        rules=FixedRules(RuleEngine(DEFAULTS, (), 1)),
        report=report,
        backfill=NoBackfill(),
        committed=lambda: None,
    )

    async def come() -> AsyncIterator[int]:
        async for at in ticks(1, clock=clock, sleep=clock.sleep):
            yield at
            if at >= NOON + TICKS:
                return

    await sampler._store.open()
    async for at in come():
        await sampler._sample(_once(at))
        await sampler._commit_due()


async def _once(at: int) -> AsyncIterator[int]:
    yield at


@pytest.fixture
async def store(server: str) -> AsyncIterator[Writer]:
    async with connect(server, "tests") as redis, ClientSession() as session:
        store = Writer(redis)
        await sample_all(store, session)
        yield store


def test_the_settings_allow_a_second_and_nothing_shorter(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TRACKER_INTERVAL", "1")

    assert WorkerSettings.load().interval == 1


async def test_every_second_has_its_sample(store: Writer):
    held = await store.read_samples(BTC, NOON - 1, NOON + TICKS)

    assert [sample.tick for sample in held] == list(range(NOON, NOON + TICKS + 1))
    assert (await Verifier(store._redis).verify(repair=False)).is_clean


async def test_its_history_and_its_candles_cover_every_second(store: Writer, server: str, tmp_path: Path):
    samples = await store.read_samples(BTC, NOON, NOON + MINUTE)
    clock = Clock()
    clock.now = NOON + TICKS + 0.5
    async with serving(clock, server, interval=1) as api:
        history = (await api.get(f"/v1/metrics/{BTC}/history", {"from": NOON + 1, "to": NOON + MINUTE})).json["points"]
    async with connect_archive(f"sqlite+aiosqlite:///{tmp_path}/archive.db", "tests", writes=True) as engine:
        archive = ArchiveWriter(engine)
        await archive.open()
        await HourlyRollup(store, archive, RollupOptions(1)).close_hour(NOON, NOON + HOUR)
        (hour,) = await archive.read_hours(BTC, NOON, NOON + HOUR)

    assert [point[0] for point in history] == [sample.tick for sample in samples]
    assert [Decimal(str(point[1])) for point in history] == [Decimal(sample.values[0] or "NaN") for sample in samples]
    assert (hour.samples, hour.covered) == (TICKS, TICKS)
