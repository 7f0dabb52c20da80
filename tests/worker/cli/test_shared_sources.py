"""Workers that are put together as the settings say ask each its sources, and whoever hands out ticks has them all."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import NamedTuple

import pytest
from redis.asyncio import Redis

from tests.support.cluster import RunningCluster
from tests.support.crew import wait_until
from tests.support.serving import NOON
from v1.store import connect, keys
from v1.store.sharing.members import Members
from worker.cli.sharing import MarketShare, find_ticks, open_share, open_shared_sources
from worker.cli.wiring import open_store
from worker.clock.ticks import ticks
from worker.clock.wall import WatchedClock
from worker.reporting.metrics import make_instruments
from worker.sampling.sharing.shared_source import SharedSource
from worker.settings import WorkerSettings
from worker.sources.supervised import SupervisedSource

PATIENT_SECONDS = 60.0


class Opened(NamedTuple):
    shared: MarketShare | None
    sources: list[SupervisedSource]


@asynccontextmanager
async def open_worker(settings: WorkerSettings, *, is_home: bool) -> AsyncIterator[Opened]:
    clock, instruments = WatchedClock(), make_instruments()
    async with (
        open_store(settings, shares=True) as store,
        open_share(settings, store, instruments, lambda: is_home) as shared,
        open_shared_sources(settings, PATIENT_SECONDS, clock, instruments.record_request, shared) as sources,
    ):
        if shared is not None:
            shared.sources.begin_seconds = PATIENT_SECONDS
        yield Opened(shared, sources)


@pytest.mark.usefixtures("nothing_is_set")
async def test_each_of_two_workers_asks_a_source_and_the_workers_say_so(cluster: RunningCluster, base: str):
    settings = WorkerSettings.load(
        redis_url=cluster.url,
        share="yes",
        interval=1,
        sources="kraken,binance",
        metrics="KRAKEN:BTCUSD,BINANCE:BTCUSDT",
        kraken_url=base,
        binance_url=base,
    )
    async with AsyncExitStack() as stack:
        home = await stack.enter_async_context(open_worker(settings, is_home=True))
        await stack.enter_async_context(open_worker(settings, is_home=False))
        async with asyncio.timeout(4 * PATIENT_SECONDS), connect(cluster.url, "tests") as redis:
            await wait_until(partial(have_divided, redis))
            async for at in ticks(1):
                answers = await asyncio.gather(*[source.read(at) for source in home.sources])
                # A worker that stands still for a moment loses its leases, and gets them again.
                if all(answers) and sum(came_from_another(source) for source in home.sources) == 1:
                    break
            await wait_until(partial(have_divided, redis))


def came_from_another(source: SupervisedSource) -> bool:
    return isinstance(source, SharedSource) and source._answer is not None


async def have_divided(redis: Redis) -> bool:
    """Return whether each of two workers says that it asks one of the sources."""
    asked = [[*each.note.sources] for each in await Members(redis).read_all()]
    return sorted(asked) == [["binance"], ["kraken"]]


@pytest.mark.usefixtures("nothing_is_set")
async def test_where_nothing_is_shared_a_source_is_what_it_always_was(server: str, base: str):
    settings = WorkerSettings.load(
        redis_url=server, sources="kraken", metrics="KRAKEN:BTCUSD", kraken_url=base, interval=60
    )
    async with open_worker(settings, is_home=True) as worker:
        assert worker.shared is None
        assert [type(source) for source in worker.sources] == [SupervisedSource]


@pytest.mark.usefixtures("nothing_is_set")
@pytest.mark.parametrize(
    "newest,after,start,missed",
    [
        (NOON, 10, NOON, []),  # the newest is committed
        (NOON - 60, 10, NOON - 60, []),  # it is not too late to ask for it
        (NOON - 60, 40, NOON - 60, [NOON]),
        (NOON - 120, 10, NOON - 120, [NOON - 60]),
        (NOON - 180, 10, NOON, []),  # nothing is left of these
        (NOON - 30, 10, NOON, []),  # the interval was another
        (None, 10, NOON, []),
    ],
)
async def test_who_begins_to_hand_out_ticks_begins_with_those_of_which_answers_are_left(
    cluster: RunningCluster, base: str, newest: int | None, after: int, start: int, missed: list[int]
):
    settings = WorkerSettings.load(
        redis_url=cluster.url, share="yes", interval=60, sources="kraken", metrics="KRAKEN:BTCUSD", kraken_url=base
    )
    clock = WatchedClock(wall=lambda: float(NOON + after))
    async with (
        connect(cluster.url, "tests") as redis,
        open_store(settings, shares=True) as store,
        open_share(settings, store, make_instruments(), lambda: True) as shared,
    ):
        assert shared is not None
        if newest is not None:
            await redis.set(keys.TICK, newest)
        begin, coming = await find_ticks(settings, store, clock, NOON, shared)
        come = [await anext(coming) for _ in range((NOON - begin) // 60)]

        assert (begin, sorted(shared.sources.missed)) == (start, missed)
        assert come == [*range(start + 60, NOON + 60, 60)]
