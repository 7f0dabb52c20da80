"""What changes an answer is told to every process that answers, and that nothing is heard is told, too."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests.conftest import emptied
from tests.support import servers
from tests.support.forwarding import Forwarder, forwarding
from tests.support.serving import HOUR, MINUTE, NOON, every_minute, fill, sample, tick
from v1.model import Metric
from v1.rules import Silence
from v1.rules.defaults import DEFAULTS
from v1.store import (
    EVERYTHING,
    Acknowledgement,
    AdminStore,
    Change,
    ChangeFeed,
    ChangeKind,
    ChannelStore,
    DataFormat,
    FutureRemover,
    RuleStore,
    Verifier,
    Writer,
    changes,
    connect,
    keys,
    open_change_feed,
)
from v1.store.changes import parse_change

BTC = Metric("KRAKEN:BTCUSD")


class Listener:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[Change] = []
        self._news = asyncio.Event()

    def __call__(self, change: Change) -> None:
        self.told.append(change)
        self._news.set()

    async def wait_for(self, is_there: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not is_there():
                self._news.clear()
                await self._news.wait()


@asynccontextmanager
async def listening(address: str) -> AsyncIterator[tuple[ChangeFeed, Listener]]:
    """Subscribe, wait until that is done, and forget what was told until then."""
    listener = Listener()
    async with open_change_feed(address, "tests", listener) as feed:
        await listener.wait_for(lambda: feed.is_live)
        listener.told.clear()
        yield feed, listener


@pytest.fixture(params=["valkey", "cluster"])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """The address of a server or of a cluster, without data."""
    address = request.getfixturevalue("valkey" if request.param == "valkey" else "shared_cluster")
    address = address if isinstance(address, str) else address.url
    async with emptied(connect(address, "tests")):
        yield address


ON_ONE_NODE = pytest.mark.parametrize("server", ["valkey"], indirect=True)


@pytest.fixture
async def client(server: str) -> AsyncIterator[Redis]:
    async with connect(server, "tests") as redis:
        yield redis


@pytest.fixture
async def listener(server: str) -> AsyncIterator[Listener]:
    async with listening(server) as (_, made):
        yield made


async def test_a_tick_is_told(client: Redis, listener: Listener):
    await tick(Writer(client), NOON, {BTC: "1"})

    await listener.wait_for(lambda: Change(ChangeKind.TICK, tick=NOON) in listener.told)


async def test_late_samples_are_told_with_their_metric_and_their_hours(client: Redis, listener: Listener):
    writer = Writer(client)
    await writer.open()

    await writer.insert_samples(BTC, [sample(NOON - HOUR, "1"), sample(NOON - MINUTE, "2")], "tests", NOON)

    await listener.wait_for(lambda: len(listener.told) == 2)
    assert listener.told == [
        Change(ChangeKind.SAMPLES, metric=BTC, hour=NOON - 2 * HOUR),
        Change(ChangeKind.SAMPLES, metric=BTC, hour=NOON - HOUR),
    ]


@ON_ONE_NODE
async def test_a_change_is_heard_before_whoever_made_it_is_answered(client: Redis, listener: Listener):
    writer = Writer(client)
    await fill(writer, {BTC: every_minute(["1", "2"])})
    await listener.wait_for(lambda: Change(ChangeKind.RANKS) in listener.told)
    listener.told.clear()

    for price in range(10, 110):
        await writer.insert_samples(BTC, [sample(NOON, str(price))], "tests", NOON, replace=[NOON])
        await client.ping()

        assert len(listener.told) == price - 9


def silence() -> Silence:
    return Silence.model_validate({"id": "s1", "from": NOON, "to": NOON + HOUR})


async def put_rule(redis: Redis) -> None:
    await AdminStore(redis).put_rule(DEFAULTS[0])


async def delete_rule(redis: Redis) -> None:
    await AdminStore(redis).delete_rule("mine")


async def delete_default_rule(redis: Redis) -> None:
    await AdminStore(redis).delete_rule(DEFAULTS[0].id)


async def write_file_rules(redis: Redis) -> None:
    await RuleStore(redis).write_file_rules({}, None)


async def set_channels(redis: Redis) -> None:
    await ChannelStore(redis, HOUR).set_channels({"phone": "pushover"})


async def put_silence(redis: Redis) -> None:
    await AdminStore(redis).put_silence(silence(), NOON)


async def delete_silence(redis: Redis) -> None:
    await AdminStore(redis).delete_silence("s1")


async def acknowledge(redis: Redis) -> None:
    await AdminStore(redis).acknowledge({"id": "a.1"}, Acknowledgement(NOON, "me"))


async def update_rankings(redis: Redis) -> None:
    await Writer(redis).update_rankings(NOON)


async def write_source_states(redis: Redis) -> None:
    await Writer(redis).write_source_states({"kraken": {"state": "ok"}})


async def delete_data(redis: Redis) -> None:
    await DataFormat(redis).delete_data()


async def drop_future(redis: Redis) -> None:
    await FutureRemover(redis).drop_future(NOON)


async def repair(redis: Redis) -> None:
    await fill(Writer(redis), {BTC: every_minute(["1", "2"])})
    await redis.delete(keys.moments(BTC))
    await Verifier(redis).verify(repair=True)


@pytest.mark.parametrize(
    "change, kind",
    [
        (put_rule, ChangeKind.RULES),
        (delete_rule, ChangeKind.RULES),
        (delete_default_rule, ChangeKind.RULES),
        (write_file_rules, ChangeKind.RULES),
        (set_channels, ChangeKind.RULES),
        (put_silence, ChangeKind.SILENCES),
        (delete_silence, ChangeKind.SILENCES),
        (acknowledge, ChangeKind.ALERTS),
        (update_rankings, ChangeKind.RANKS),
        (write_source_states, ChangeKind.SOURCES),
        (delete_data, ChangeKind.ALL),
        (drop_future, ChangeKind.ALL),
        (repair, ChangeKind.ALL),
    ],
    ids=lambda each: getattr(each, "__name__", None),
)
async def test_whoever_changes_an_answer_tells(change, kind: ChangeKind, client: Redis, listener: Listener):
    await change(client)
    await client.delete(keys.CHANNELS)

    await listener.wait_for(lambda: Change(kind) in listener.told)


async def test_a_check_that_repairs_nothing_tells_nothing(client: Redis, listener: Listener):
    await fill(Writer(client), {BTC: every_minute(["1", "2"])})
    await listener.wait_for(lambda: Change(ChangeKind.RANKS) in listener.told)
    listener.told.clear()

    await Verifier(client).verify(repair=True)
    await client.publish(keys.CHANGES, ChangeKind.KEYS)

    await listener.wait_for(lambda: bool(listener.told))
    assert listener.told == [Change(ChangeKind.KEYS)]


@pytest.mark.parametrize("message", ["", "nonsense", "samples", "samples A:B", "samples A:B noon", "tick", "rules x"])
def test_a_message_that_cannot_be_read_may_be_of_anything(message: str):
    assert parse_change(keys.CHANGES, message) == EVERYTHING


@pytest.mark.parametrize("message", ["", "noon", "-60"])
def test_a_tick_that_cannot_be_read_may_be_of_anything(message: str):
    assert parse_change(keys.TICKS, message) == EVERYTHING


async def test_who_is_removed_is_told_no_more(client: Redis, server: str):
    async with listening(server) as (feed, listener):
        other = Listener()
        feed.add_listener(other)
        feed.remove_listener(listener)
        await client.publish(keys.CHANGES, "keys")
        await other.wait_for(lambda: bool(other.told))

    assert listener.told == []


async def test_a_killed_server_is_told_at_once_and_so_is_its_return():
    with tempfile.TemporaryDirectory() as folder:
        process = servers.start(servers.embedded(), Path(folder))
        try:
            async with listening(servers.address(Path(folder))) as (feed, listener):
                process.kill()
                process.wait()
                await listener.wait_for(lambda: not feed.is_live)
                assert listener.told == [EVERYTHING]

                process = servers.start(servers.embedded(), Path(folder))
                await listener.wait_for(lambda: feed.is_live)
                assert listener.told == [EVERYTHING] * 2
        finally:
            process.kill()
            process.wait()


async def test_who_starts_while_redis_is_away_is_told_when_it_comes():
    with tempfile.TemporaryDirectory() as folder:
        listener = Listener()
        async with open_change_feed(servers.address(Path(folder)), "tests", listener) as feed:
            assert not feed.is_live

            with servers.running(servers.embedded(), Path(folder)):
                await listener.wait_for(lambda: feed.is_live)

            assert listener.told[0] == EVERYTHING


@pytest.fixture
async def forwarder(server: str) -> AsyncIterator[Forwarder]:
    async with forwarding(Path(server.removeprefix("unix://"))) as made:
        yield made


@ON_ONE_NODE
async def test_a_server_that_says_nothing_is_lost(forwarder: Forwarder, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(changes, "PING_SECONDS", 0.05)
    async with listening(f"redis://127.0.0.1:{forwarder.port}/0") as (feed, listener):
        forwarder.hang()
        await listener.wait_for(lambda: not feed.is_live)


async def test_a_listener_that_fails_ends_no_subscription(client: Redis, server: str):
    async with listening(server) as (feed, listener):
        feed.add_listener(_fail)
        await client.publish(keys.CHANGES, "keys")
        await listener.wait_for(lambda: not feed.is_live or len(listener.told) > 1)
        feed.remove_listener(_fail)
        await listener.wait_for(lambda: feed.is_live)


def _fail(change: Change) -> None:
    if change.kind is ChangeKind.KEYS:
        raise RuntimeError("a listener fails")
