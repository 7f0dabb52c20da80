"""The backfill service: what it does on a request, in which order, and what it costs when a database is away."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession
from redis.asyncio import Redis

from tests.support.archived import GRACE, Bench, bench, lose
from tests.support.invented import BTC, ETH, NOON, Invented, price
from v1.archive import ArchiveAway
from worker.backfill.service import BackfillService
from worker.latest import DAY, HOUR, MINUTE, Measure, Metric, Sample
from worker.latest.store import StoreAway, Verifier
from worker.sampling.tick import commit_tick
from worker.sources.supervised import SupervisedSource


@pytest.fixture
async def here(fake: Redis, tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(fake, f"sqlite+aiosqlite:///{tmp_path}/archive.db") as opened:
        yield opened


def supervised(session: ClientSession, *sources: Invented) -> list[SupervisedSource]:
    return [SupervisedSource(source, session, 5) for source in sources]


def patient(*metrics: Metric, name: str = "invented") -> Invented:
    """Make a source that has candles of a month, and no pace."""
    source = Invented(*metrics, name=name)
    source.keeps, source.pace = 30 * DAY, 0
    return source


@asynccontextmanager
async def running(service: BackfillService) -> AsyncIterator[None]:
    task = asyncio.create_task(service.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=60)

    assert task.cancelled(), task.exception()


async def until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not is_so():
            await asyncio.sleep(0.005)


async def test_on_a_request_the_day_is_filled_and_then_the_archive_gets_its_older_hours(
    here: Bench, session: ClientSession
):
    source = patient(BTC)
    await here.archiver.open(NOON)
    await commit_tick(NOON, {}, here.store)
    service = here.service(supervised(session, source))

    async with running(service):
        service.request()
        await until(lambda: len(source.candles_asked) == 2)
        async with asyncio.timeout(60):
            while not await here.hours():
                await asyncio.sleep(0.01)

    assert source.candles_asked == [(BTC, NOON - DAY, NOON), (BTC, NOON - 168 * HOUR, NOON)]
    assert len(await here.store.read_samples(BTC, NOON - DAY, NOON)) == 1440
    assert (await Verifier(here.store._redis).verify(repair=False)).is_clean


async def test_what_the_source_does_not_have_of_the_day_is_restored_from_the_archive(
    here: Bench, session: ClientSession
):
    source = Invented(BTC)
    source.keeps = 0
    await here.ticks(3 * 60)
    await here.archiver.archive_due(here.end + GRACE)
    await lose(here.store)
    await commit_tick(here.end, {}, here.store)
    (opened,) = supervised(session, source)

    await here.service([opened])._backfill(opened, lambda: False)

    day = await here.store.read_samples(BTC, NOON, here.end)
    assert [(each.tick, each.value(Measure.PRICE)) for each in day] == [
        (NOON + hour * HOUR, price(BTC, NOON + hour * HOUR)) for hour in (1, 2, 3)
    ]


async def test_only_the_source_that_is_named_is_asked(here: Bench, session: ClientSession):
    one, other = patient(BTC, name="one"), patient(ETH, name="other")
    await here.archive.open()
    await commit_tick(NOON, {}, here.store)
    service = here.service(supervised(session, one, other))

    async with running(service):
        service.request("other")
        await until(lambda: other.candles_asked)
        await asyncio.sleep(0.01)

    assert one.candles_asked == []


async def test_before_the_first_tick_there_is_no_day_to_fill(here: Bench, session: ClientSession):
    source = patient(BTC)
    (opened,) = supervised(session, source)

    await here.service([opened])._backfill(opened, lambda: False)

    assert (source.opened, source.candles_asked) == (0, [])


async def test_a_request_that_comes_during_a_backfill_is_followed_by_another(here: Bench, session: ClientSession):
    source = patient(BTC)
    await here.archiver.open(NOON)
    await commit_tick(NOON, {}, here.store)
    service = here.service(supervised(session, source))
    source.gate.clear()

    async with running(service):
        service.request()
        await until(lambda: source.opened)
        service.request()
        here.end = NOON + 60
        await commit_tick(here.end, {}, here.store)
        source.gate.set()
        await until(lambda: (BTC, NOON, NOON + 60) in source.candles_asked)


async def test_while_redis_is_away_it_is_tried_again(here: Bench, session: ClientSession):
    source, failures = patient(BTC), [StoreAway("gone"), StoreAway("gone")]
    await commit_tick(NOON, {}, here.store)
    read_tick = here.store.read_tick

    async def fail_twice() -> int | None:
        if failures:
            raise failures.pop()
        return await read_tick()

    here.store.read_tick = fail_twice  # type: ignore[method-assign]  # Redis is away twice
    service = here.service(supervised(session, source))

    async with running(service):
        service.request()
        await until(lambda: source.candles_asked)

    assert failures == []


async def test_while_the_archive_is_away_the_day_is_filled_and_a_backfill_is_requested_when_it_is_back(
    here: Bench, session: ClientSession, tmp_path: Path
):
    source = patient(BTC)
    (tmp_path / "archive.db").mkdir()
    await here.archiver.archive_due(NOON)
    await commit_tick(NOON, {}, here.store)
    (opened,) = supervised(session, source)

    await here.service([opened])._backfill(opened, lambda: False)
    requested = here.requests
    (tmp_path / "archive.db").rmdir()
    await here.archiver.archive_due(NOON + 60)

    assert source.candles_asked == [(BTC, NOON - DAY, NOON)]
    assert (requested, here.requests) == (0, 1)


async def test_an_archive_that_fails_during_a_backfill_is_reported_as_failing_and_opened_again(
    here: Bench, session: ClientSession
):
    (opened,) = supervised(session, patient(BTC))
    await here.archiver.open(NOON)
    await commit_tick(NOON, {}, here.store)
    read_metrics = here.archive.read_metrics

    async def fail(since: int) -> set[str]:
        raise ArchiveAway(f"the archive is away: since {since}")

    here.archive.read_metrics = fail  # type: ignore[assignment]  # it is away
    await here.service([opened])._backfill(opened, lambda: False)
    failing = here.health.describe()
    here.archive.read_metrics = read_metrics  # type: ignore[method-assign]  # it is back
    await here.archiver.archive_due(NOON + 60)

    assert (failing["state"], failing["since"]) == ("failing", NOON)
    assert (here.health.describe()["state"], here.requests) == ("ok", 1)


async def test_each_day_is_read_once(here: Bench, session: ClientSession):
    """The samples that came while the source was asked are all that is read beside it."""
    source, read = patient(BTC), []
    read_samples = here.store.read_samples
    here.end = NOON - MINUTE * 10
    await here.ticks(5)
    here.end = NOON - MINUTE
    await here.ticks(1)
    (opened,) = supervised(session, source)
    await opened.open(NOON)

    async def counted(metric: Metric, after: int, until: int) -> list[Sample]:
        read.append((after, until))
        return await read_samples(metric, after, until)

    here.store.read_samples = counted  # type: ignore[method-assign]  # to see what is read
    await here.service([opened])._backfill(opened, lambda: False)

    days = [(after, until) for after, until in read if until - after > MINUTE]
    assert days == [(NOON - DAY, NOON)]
    assert (await Verifier(here.store._redis).verify(repair=False)).is_clean


async def test_a_day_that_changed_since_it_was_read_is_read_again(here: Bench):
    await here.ticks(5)
    known = await here.store.read_samples(BTC, here.end - DAY, here.end)
    early, late = ((known[0]._replace(tick=NOON - minutes * MINUTE)) for minutes in (2, 1))
    await here.store.insert_samples(BTC, [early], "other", here.end)

    await here.store.insert_samples(BTC, [early, late], "invented", here.end, known=known)
    await here.store.update_rankings(here.end)

    held = await here.store.read_samples(BTC, here.end - DAY, here.end)
    assert [each.tick for each in held] == [early.tick, late.tick, *[each.tick for each in known]]
    assert (await Verifier(here.store._redis).verify(repair=False)).is_clean
