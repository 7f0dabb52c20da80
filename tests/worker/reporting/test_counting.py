"""The parts of the worker count what happens to them: ticks, outages of Redis, messages."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import ClientSession
from fakeredis import FakeAsyncRedis, FakeServer

from tests.support.alerts import TICK, alert, commit
from tests.support.archived import NoBackfill
from tests.support.divided import PARTITIONS, divide, forget_since, save
from tests.support.invented import BTC, ETH, NOON, Beats, Invented
from v1.store import Reader, Verifier
from v1.store.places import Places
from worker.delivery.messages import MessageOptions
from worker.delivery.notify.base import NotifyAnswer, NotifyUnavailable
from worker.delivery.sender import ChannelSender
from worker.latest import DAY
from worker.latest.delivery import ChannelStore, OutgoingMessage
from worker.latest.store import Writer, connect
from worker.reporting.metrics import WorkerInstruments, make_instruments
from worker.sampling.rule_provider import FixedRules
from worker.sampling.sampler import Sampler
from worker.sources.supervised import SupervisedSource
from worker.sources.wishes import SourceReport


def read(instruments: WorkerInstruments, name: str, **labels: str) -> float | None:
    return instruments.registry.get_sample_value(f"data_tracker_{name}", labels)


async def until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not is_so():
            await asyncio.sleep(0.002)


@asynccontextmanager
async def sampling(
    session: ClientSession, store: Writer, beats: Beats, instruments: WorkerInstruments
) -> AsyncIterator[None]:
    """Run a sampler of two metrics."""
    source = SupervisedSource(Invented(BTC, ETH), session, timeout=60)
    sampler = Sampler(
        sources=[source],
        store=store,
        interval=60,
        rules=FixedRules(),
        report=SourceReport([source]),
        backfill=NoBackfill(),
        sleep=lambda _: asyncio.sleep(0.001),
        instruments=instruments,
    )
    running = asyncio.create_task(sampler.run(NOON, aiter(beats)))
    try:
        yield
    finally:
        running.cancel()
        await asyncio.wait([running])


async def test_committed_and_missing_ticks_and_an_outage_of_redis_are_counted(session: ClientSession):
    server, beats, instruments = FakeServer(), Beats(), make_instruments()
    async with (
        FakeAsyncRedis(server=server, decode_responses=True) as redis,
        sampling(session, Writer(redis), beats, instruments),
    ):
        beats.beat(NOON + 60)
        await until(lambda: read(instruments, "samples_total", source="invented") == 2)
        await until(lambda: read(instruments, "redis_up") == 1)
        server.connected = False
        beats.beat(NOON + 120)
        await until(lambda: read(instruments, "redis_up") == 0)
        await until(lambda: read(instruments, "waiting_ticks") == 1)
        server.connected = True
        beats.beat(NOON + 300)
        await until(lambda: read(instruments, "tick_timestamp_seconds") == NOON + 300)
        await until(lambda: read(instruments, "redis_up") == 1)

    # Noon itself, which only moves the windows, and three that were sampled.
    assert read(instruments, "ticks_total") == read(instruments, "commit_seconds_count") == 4
    assert read(instruments, "missing_ticks_total") == 2
    assert read(instruments, "samples_total", source="invented") == 6
    assert read(instruments, "waiting_ticks") == 0
    assert read(instruments, "metrics") == 2


async def test_what_a_failover_forgot_is_committed_again_and_counted(session: ClientSession, server: str):
    beats, instruments, tag = Beats(), make_instruments(), Places(PARTITIONS).find_tag(BTC)
    async with connect(server, "tests") as plain:
        redis = divide(plain)
        async with sampling(session, Writer(redis), beats, instruments):
            beats.beat(NOON + 60)
            await until(lambda: read(instruments, "tick_timestamp_seconds") == NOON + 60)
            saved = await save(redis, tag)
            beats.beat(NOON + 120)
            await until(lambda: read(instruments, "tick_timestamp_seconds") == NOON + 120)
            await forget_since(redis, tag, saved)
            beats.beat(NOON + 180)
            await until(lambda: read(instruments, "tick_timestamp_seconds") == NOON + 180)

        assert [each.tick for each in await Reader(redis).read_samples(BTC, NOON, NOON + 180)] == [
            NOON + 60,
            NOON + 120,
            NOON + 180,
        ]
        assert (await Verifier(redis).verify(repair=False)).is_clean
    assert read(instruments, "recommits_total") == 1


class Bell:
    """A channel that fails once."""

    name = "bell"
    kind = "bell"
    connections = 1
    fingerprint = "one"

    def __init__(self) -> None:
        self.has_failed = False

    async def send(self, message: OutgoingMessage) -> NotifyAnswer:
        assert message
        if not self.has_failed:
            self.has_failed = True
            raise NotifyUnavailable("500")
        return NotifyAnswer("taken")


async def test_messages_are_counted_by_what_became_of_them(server: str):
    instruments, now = make_instruments(), TICK + 1.0

    async def pass_time(seconds: float) -> None:
        nonlocal now
        now += seconds

    async with connect(server, "tests") as redis:
        sender = ChannelSender(
            Bell(),
            ChannelStore(redis, 30 * DAY).open_outbox("bell"),
            MessageOptions("http://127.0.0.1:8000", 60),
            clock=lambda: now,
            sleep=pass_time,
            instruments=instruments,
        )
        await sender.open()
        await commit(redis, [alert(severity="critical")], TICK)
        await sender.send_due()
        described = sender.describe_queue()
        now += described[2]
        await sender.send_due()

    assert described[:2] == (1, 1)
    assert described[2] > 0
    assert sender.describe_queue() == (0, 0, 0.0)
    counted = {
        status: read(instruments, "deliveries_total", channel="bell", status=status) for status in ("failed", "sent")
    }
    assert counted == {"failed": 1, "sent": 1}
    assert read(instruments, "delivery_delay_seconds_sum", channel="bell") == now - TICK
