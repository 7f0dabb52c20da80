"""The heartbeat: heard while ticks are committed and not when they are not, and nobody waits for it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial

import pytest
from aiohttp import ClientSession, web
from redis.asyncio import Redis
from structlog.testing import capture_logs

from tests.support.archived import NoBackfill
from tests.support.invented import BTC, NOON, Beats, Invented
from tests.support.loopback import serving
from worker.delivery.notify import sessions
from worker.delivery.notify.calls import call_address
from worker.latest import MINUTE
from worker.latest.store import Writer
from worker.sampling.heartbeat import EVERY_SECONDS, Heartbeat
from worker.sampling.rule_provider import FixedRules
from worker.sampling.sampler import Sampler
from worker.sources.supervised import SupervisedSource
from worker.sources.wishes import SourceReport


class Ear:
    """What is called: it counts, and answers what it is told."""

    def __init__(self) -> None:
        self.heard = 0
        self.status = 200
        self.gate = asyncio.Event()
        self.gate.set()

    async def hear(self, _: web.Request) -> web.Response:
        self.heard += 1
        await self.gate.wait()
        return web.Response(status=self.status)


@asynccontextmanager
async def beating(ear: Ear, clock: Callable[[], float]) -> AsyncIterator[Heartbeat]:
    app = web.Application()
    app.add_routes([web.get("/ping/me", ear.hear)])
    async with serving(app) as base, sessions.make_heartbeat_session() as session:
        heartbeat = Heartbeat(partial(call_address, session, f"{base}/ping/me"), clock)
        running = asyncio.create_task(heartbeat.run())
        try:
            yield heartbeat
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def settled(ear: Ear, heard: int) -> None:
    async with asyncio.timeout(60):
        while ear.heard < heard:
            await asyncio.sleep(0.005)
    await asyncio.sleep(0.03)


async def test_it_is_heard_at_each_of_two_ticks_a_minute_apart_and_once_a_minute_when_they_are_closer():
    ear, clock = Ear(), Clock()
    async with beating(ear, clock) as heartbeat:
        for _ in range(25):
            heartbeat.notify_committed()
            await settled(ear, 1)
            clock.now += 5
        minutes_of_five_seconds = ear.heard
        clock.now = 2000.0
        for number in range(3):
            heartbeat.notify_committed()
            await settled(ear, minutes_of_five_seconds + number + 1)
            clock.now += 60

    assert EVERY_SECONDS == 55
    assert minutes_of_five_seconds == 3
    assert ear.heard == 6


async def test_without_ticks_it_is_not_heard():
    ear, clock = Ear(), Clock()
    async with beating(ear, clock) as heartbeat:
        heartbeat.notify_committed()
        await settled(ear, 1)
        clock.now += 3600
        await asyncio.sleep(0.03)

    assert ear.heard == 1


async def test_nobody_waits_for_an_answer_that_does_not_come():
    ear, clock = Ear(), Clock()
    ear.gate.clear()
    async with beating(ear, clock) as heartbeat:
        heartbeat.notify_committed()
        await settled(ear, 1)
        clock.now += 60

        heartbeat.notify_committed()
        heartbeat.notify_committed()


async def test_a_failure_is_logged_once_and_so_is_its_end():
    ear, clock = Ear(), Clock()
    with capture_logs() as logged:
        async with beating(ear, clock) as heartbeat:
            for number, status in enumerate([200, 500, 500, 404, 200, 200], 1):
                ear.status = status
                heartbeat.notify_committed()
                await settled(ear, number)
                clock.now += 60

    assert [(each["event"], each.get("reason")) for each in logged] == [
        ("the heartbeat fails", "it said 500"),
        ("the heartbeat fails", "it said 404"),
        ("the heartbeat works again", None),
    ]


@pytest.mark.parametrize("elsewhere", ["http://", "http://127.0.0.1:99999/", "ftp://127.0.0.1/"])
async def test_being_sent_to_an_address_that_is_none_is_a_failure_like_any_other(elsewhere: str):
    async def send_away(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": elsewhere})

    app = web.Application()
    app.add_routes([web.get("/ping/me", send_away)])
    async with serving(app) as base, sessions.make_heartbeat_session() as session:
        trouble = await call_address(session, f"{base}/ping/me")

    assert trouble
    assert trouble.startswith("the heartbeat's address")


async def test_an_address_that_is_not_there_is_not_named():
    async with sessions.make_heartbeat_session() as session:
        trouble = await call_address(session, "http://127.0.0.1:1/secret-of-mine")

    assert trouble
    assert trouble.startswith("the heartbeat's address did not answer: ")
    assert "secret" not in trouble


@pytest.mark.parametrize("beats", [0, 3])
async def test_without_an_address_there_is_nothing_to_do(beats: int):
    heartbeat = Heartbeat(None)
    for _ in range(beats):
        heartbeat.notify_committed()

    await heartbeat.run()


async def test_the_sampler_tells_of_each_tick_when_it_is_committed_and_not_before(fake: Redis, session: ClientSession):
    told, beats = [], Beats()
    source = Invented(BTC)
    source.keeps = 0
    watched = [SupervisedSource(source, session, timeout=0.2)]
    live = Sampler(
        sources=watched,
        store=Writer(fake),
        interval=MINUTE,
        rules=FixedRules(),
        report=SourceReport(watched),
        backfill=NoBackfill(),
        committed=lambda: told.append(live._newest),
    )
    running = asyncio.create_task(live.run(NOON, aiter(beats)))
    async with asyncio.timeout(60):
        for at in (NOON, NOON + MINUTE, NOON + 2 * MINUTE):
            if at > NOON:
                beats.beat(at)
            while at not in told:  # nobody else is told
                await asyncio.sleep(0.005)
    running.cancel()
    await asyncio.wait([running])

    assert told == [NOON, NOON + MINUTE, NOON + 2 * MINUTE]
