"""Answers of Redis that nobody foresaw: the role that gets them waits and says so, the others go on, nothing ends."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from tests.support.forwarding import RedisForwarder, Refusal, forwarding_redis
from worker.cli import commands
from worker.latest import Metric
from worker.latest.store import Reader, Verifier, connect
from worker.sampling.tick_buffer import Readings, TickBuffer
from worker.settings import WorkerSettings

SECONDS = 60.0
MIN_COVERAGE = WorkerSettings.model_fields["min_coverage"].default
"""By which a worker ranks whose settings do not say otherwise."""
BTC, ETH = Metric("SIMULATED:BTCUSD"), Metric("SIMULATED:ETHUSD")


@pytest.fixture
async def forwarder(server: str) -> AsyncIterator[RedisForwarder]:
    async with forwarding_redis(Path(server.removeprefix("unix://"))) as made:
        yield made


@pytest.fixture
def settings(forwarder: RedisForwarder, tmp_path: Path) -> WorkerSettings:
    """A worker in all its roles, that keeps a second's tick and sends to a channel where nobody listens."""
    return WorkerSettings.load(
        redis_url=forwarder.address,
        data_dir=tmp_path,
        sources="simulated",
        metrics=f"{BTC},{ETH}",
        interval=1,
        top_size=10,
        top_margin=1,
        notify="webhook+http://127.0.0.1:9/",
        webhook_secret="not a secret at all",
    )


@asynccontextmanager
async def working(settings: WorkerSettings) -> AsyncIterator[list[EventDict]]:
    """Run a whole worker in this process, and see at the end that it was still running."""
    with capture_logs() as logs:
        task = asyncio.create_task(commands._run(settings, commands.ROLES))
        try:
            yield logs
        finally:
            await asyncio.sleep(0)
            ended = task.done()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    assert not ended, "the worker has ended"


async def until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(SECONDS):
        while not is_so():
            await asyncio.sleep(0.05)


async def ticked(server: str, ticks: int = 2) -> None:
    """Wait for so many ticks to be committed."""
    async with connect(server, "tests") as redis, asyncio.timeout(SECONDS):
        reader, seen = Reader(redis), set[int | None]()
        while len(seen - {None}) < ticks:
            seen.add(await reader.read_tick())
            await asyncio.sleep(0.1)


async def is_clean(server: str) -> bool:
    async with connect(server, "tests") as redis:
        return (await Verifier(redis, MIN_COVERAGE).verify(repair=False)).is_clean


def refusing(command: bytes, key: bytes, code: bytes) -> Refusal:
    def refuse(parts: list[bytes]) -> bytes | None:
        hit = parts[0] == command and any(part.startswith(key) for part in parts[1:])
        return code + b" made up" if hit else None

    return refuse


SAMPLING = [
    refusing(b"MGET", b"v1:moments", b"NOPERM"),
    refusing(b"EVALSHA", b"v1:tick", b"BUSY"),
    refusing(b"EVALSHA", b"v1:rank", b"ODD"),
    refusing(b"EXISTS", b"v1:sources", b"NOREPLICAS"),
    refusing(b"GET", b"v1:lease", b"ODD"),
]


async def test_what_is_refused_to_sampling_is_waited_for_and_its_ticks_are_kept(
    settings: WorkerSettings, forwarder: RedisForwarder, server: str, monkeypatch: pytest.MonkeyPatch
):
    sampled, add = set[int](), TickBuffer.add

    def note(buffer: TickBuffer, at: int, readings: Readings) -> None:
        if BTC in readings:
            sampled.add(at)
        add(buffer, at, readings)

    monkeypatch.setattr(TickBuffer, "add", note)
    async with working(settings) as logs:
        await ticked(server, 1)
        for refuse in SAMPLING:
            seen = len(logs)
            forwarder.refuse = refuse
            await until(lambda seen=seen: any("ticks are kept" in each["event"] for each in logs[seen:]))
            forwarder.refuse = lambda _: None
            await until(lambda seen=seen: any("ticks are committed" in each["event"] for each in logs[seen:]))
        await ticked(server)

    # A pause of this process skips ticks of the clock: what is not sampled is not to commit.
    async with connect(server, "tests") as redis:
        kept = {each.tick for each in await Reader(redis).read_samples(BTC, min(sampled) - 1, max(sampled))}
    assert {at for at in sampled if at <= max(kept)} <= kept
    assert await is_clean(server)


async def test_a_user_who_may_not_use_a_command_is_told_of_it_and_goes_on_once_he_may(
    settings: WorkerSettings, forwarder: RedisForwarder, server: str
):
    async with connect(server, "tests") as redis:
        await redis.execute_command("ACL", "SETUSER", "limited", "on", "nopass", "~*", "&*", "+@all", "-zadd")
        limited = settings.model_copy(
            update={"redis_url": type(settings.redis_url)(f"redis://limited:any@127.0.0.1:{forwarder.port}/0")}
        )
        async with working(limited) as logs:
            await until(lambda: any("ticks are kept" in each["event"] for each in logs))
            await redis.execute_command("ACL", "SETUSER", "limited", "+zadd")
            await ticked(server)
        await redis.execute_command("ACL", "DELUSER", "limited")

    reasons = {each["reason"] for each in logs if "ticks are kept" in each["event"]}
    assert any("zadd" in reason for reason in reasons), reasons
    assert await is_clean(server)


async def test_what_is_refused_from_the_start_is_waited_for(
    settings: WorkerSettings, forwarder: RedisForwarder, server: str
):
    forwarder.refuse = refusing(b"SET", b"v1:lease", b"NOPERM")
    async with working(settings) as logs:
        await until(lambda: any(each["event"] == "standing by" for each in logs))
        forwarder.refuse = lambda _: None
        await ticked(server)


OTHER_ROLES = [
    {
        "messages wait": refusing(b"XREADGROUP", b"v1:outbox", b"NOPERM"),
        "the rules cannot be read": refusing(b"HGETALL", b"v1:rules", b"NOPERM"),
        "nobody is asked": refusing(b"WATCH", b"v1:budget", b"NOPERM"),
        "minutes are made up for": refusing(b"WATCH", b"v1:top", b"NOPERM"),
        "the archive's state is not written": refusing(b"SET", b"v1:archive", b"NOPERM"),
    },
    {
        "messages wait": refusing(b"HGETALL", b"v1:sending", b"ODD"),
        "nobody is asked": refusing(b"XADD", b"v1:prices", b"ODD"),
        "minutes are made up for": refusing(b"XREVRANGE", b"v1:rankings", b"ODD"),
    },
    {
        "minutes are made up for": refusing(b"ZRANGE", b"v1:top", b"ODD"),
        "top lists are not kept": refusing(b"ZRANGE", b"v1:top", b"ODD"),
        "nobody is asked": refusing(b"HSET", b"v1:top:roles", b"ODD"),
        "messages wait": refusing(b"DEL", b"v1:channels", b"ODD"),
    },
]


@pytest.mark.parametrize("refusals", OTHER_ROLES, ids=["commands", "answers", "lists"])
async def test_what_is_refused_to_other_roles_is_said_and_costs_no_tick(
    settings: WorkerSettings, forwarder: RedisForwarder, server: str, refusals: dict[str, Refusal]
):
    forwarder.refuse = lambda parts: next((said for each in refusals.values() if (said := each(parts))), None)

    async with working(settings) as logs:
        await ticked(server)
        for said in refusals:
            await until(lambda said=said: any(said in each["event"] for each in logs))

    assert await is_clean(server)
