"""One connection that Redis tells changes on: what it answers, and that nothing is kept which has changed."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests.support.forwarding import RedisForwarder, forwarding_redis
from tests.support.serving import HOUR, MINUTE, NOON, every_minute, fill, sample, tick
from v1.market.pieces import KeptPieces, make_piece
from v1.model import Measure, Metric
from v1.store import StoreAway, StoreError, TrackedReader, Writer, connect, keys

BTC, ETH = Metric("KRAKEN:BTCUSD"), Metric("KRAKEN:ETHUSD")
HOURS = [NOON - 2 * HOUR, NOON - HOUR]


@pytest.fixture(params=["valkey", "redis7"])
async def redis(request: pytest.FixtureRequest) -> AsyncIterator[Redis]:
    """Return a client of an empty server; fakeredis has no tracking."""
    async with connect(request.getfixturevalue(request.param), "tests") as client:
        await client.flushall()
        yield client


@pytest.fixture
async def writer(redis: Redis) -> Writer:
    made = Writer(redis)
    await fill(made, {BTC: every_minute(["1.5"] * 120), ETH: every_minute(["2.5"] * 120)})
    return made


@pytest.fixture
async def reader(redis: Redis) -> AsyncIterator[TrackedReader]:
    made = TrackedReader(redis, KeptPieces(10**6))
    yield made
    await made.close()


async def keep(reader: TrackedReader, metric: Metric = BTC) -> None:
    """Read and keep both hours of a metric."""
    for opened in (await reader.read(metric, HOURS)).hours:
        column = opened.make_column(Measure.PRICE)
        piece = make_piece(opened.hour, column, [at for at, _ in column.samples], b"x")
        reader.kept.add_piece(metric, opened.hour, opened.layouts, "layout", piece)


def list_kept(reader: TrackedReader, metric: Metric = BTC) -> list[int]:
    return [hour for hour, layouts in reader.kept.get_hours(metric).items() if layouts]


@pytest.mark.usefixtures("writer")
async def test_tick_state_and_samples_are_read(reader):
    reading = await reader.read(BTC, HOURS)

    assert (reading.tick, reading.newest) == (NOON, NOON)
    assert [opened.hour for opened in reading.hours] == HOURS
    assert [len(opened.make_column(Measure.PRICE).samples) for opened in reading.hours] == [60, 60]
    assert (await reader.read(Metric("KRAKEN:NONE"), HOURS[:1])).newest is None


async def test_a_late_sample_drops_its_hour_and_no_other(reader, writer):
    await keep(reader)
    await keep(reader, ETH)
    assert list_kept(reader) == HOURS
    await writer.insert_samples(BTC, [sample(NOON - 90 * MINUTE, "9")], "tests", NOON, replace=[NOON - 90 * MINUTE])
    await reader.read(BTC, [])

    assert list_kept(reader) == HOURS[1:]
    assert list_kept(reader, ETH) == HOURS


async def test_a_tick_drops_the_hour_that_it_belongs_to(reader, writer):
    await keep(reader)
    await writer.insert_samples(BTC, [sample(NOON - 30, "9")], "tests", NOON)
    await reader.read(ETH, [])

    assert list_kept(reader) == HOURS[:1]


async def test_samples_that_leave_the_day_drop_their_hour(reader, writer):
    await keep(reader)
    await tick(writer, NOON + 22 * HOUR + 30 * MINUTE, {BTC: "3"})
    await reader.read(ETH, [])

    assert list_kept(reader) == HOURS[1:]


@pytest.mark.usefixtures("writer")
async def test_a_hand_that_changes_or_empties_the_database_is_noticed(reader, redis):
    await keep(reader)
    await redis.zadd(keys.samples(BTC, HOURS[0]), {"[7,1,null,null,null,null,null]": HOURS[0] + 7})
    await reader.read(ETH, [])
    assert list_kept(reader) == HOURS[1:]

    await redis.delete(keys.samples(BTC, HOURS[1]))
    await reader.read(ETH, [])
    assert list_kept(reader) == []

    await keep(reader, ETH)
    await redis.flushall()
    assert (await reader.read(ETH, [])).newest is None
    assert list_kept(reader, ETH) == []


async def test_a_change_between_the_reading_and_the_keeping_is_noticed(reader, writer):
    (opened,) = (await reader.read(BTC, HOURS[:1])).hours
    await writer.insert_samples(BTC, [sample(NOON - 90 * MINUTE - 30, "9")], "tests", NOON)
    await reader.read(BTC, [])
    column = opened.make_column(Measure.PRICE)
    reader.kept.add_piece(BTC, HOURS[0], opened.layouts, "layout", make_piece(HOURS[0], column, [], b"x"))

    assert list_kept(reader) == []


@pytest.mark.usefixtures("writer")
async def test_more_changes_than_python_may_nest_calls_are_taken_in(reader, redis):
    metrics = [Metric(f"KRAKEN:A{index}") for index in range(2000)]
    await asyncio.gather(*[reader.read(metric, HOURS[:1]) for metric in metrics])
    pipe = redis.pipeline(transaction=False)
    for metric in metrics:
        pipe.zadd(keys.samples(metric, HOURS[0]), {"[60,1,null,null,null,null,null]": HOURS[0] + 60})
        pipe.expire(keys.samples(metric, HOURS[0]), HOUR)
    await pipe.execute()

    assert (await reader.read(BTC, [])).newest == NOON
    assert not any(reader.kept.get_hours(metric) for metric in metrics)


@pytest.mark.usefixtures("writer")
async def test_questions_that_come_together_are_sent_together(reader, redis):
    await reader.read(BTC, [])
    before = (await redis.info("commandstats"))["cmdstat_mget"]["calls"]
    readings = await asyncio.gather(*[reader.read(metric, HOURS) for metric in (BTC, ETH) * 50])
    after = (await redis.info("commandstats"))["cmdstat_mget"]["calls"]

    assert after == before + 1
    assert {reading.newest for reading in readings} == {NOON}
    assert [opened.members[0] for reading in readings[:2] for opened in reading.hours[:1]] == [
        "[60,1.5,null,null,null,null,null]",
        "[60,2.5,null,null,null,null,null]",
    ]


@pytest.mark.usefixtures("writer")
async def test_who_is_cancelled_while_waiting_does_not_harm_the_others(reader):
    first, *others = [asyncio.create_task(reader.read(BTC, HOURS)) for _ in range(3)]
    await asyncio.sleep(0)
    first.cancel()

    assert [reading.newest for reading in await asyncio.gather(*others)] == [NOON, NOON]
    assert first.cancelled() or (await asyncio.gather(first, return_exceptions=True)) is not None


@pytest.mark.usefixtures("writer")
async def test_a_key_of_another_type_is_an_error_of_whoever_asks_for_it_alone(reader, redis):
    await redis.set(keys.samples(BTC, HOURS[0] - HOUR), "no samples", ex=HOUR)
    asked = [asyncio.create_task(reader.read(BTC, hours)) for hours in ([HOURS[0] - HOUR], HOURS)]
    await asyncio.wait(asked)
    wrong, right = asked[0].exception(), asked[1].result()

    assert type(wrong) is StoreError
    assert "WRONGTYPE" in str(wrong)
    assert right.newest == NOON


@pytest.mark.usefixtures("writer")
async def test_where_tracking_is_not_permitted_all_is_read_and_nothing_kept(redis):
    await redis.execute_command("ACL", "SETUSER", "plain", "on", ">secret", "~*", "+@all", "-client|tracking")
    host = redis.connection_pool.connection_kwargs["path"]
    try:
        async with connect(f"unix://plain:secret@{host}", "tests") as plain:
            reader = TrackedReader(plain, KeptPieces(10**6))
            await keep(reader)

            assert list_kept(reader) == []
            assert len((await reader.read(BTC, HOURS)).hours) == 2
            await reader.close()
    finally:
        await redis.execute_command("ACL", "DELUSER", "plain")


@pytest.fixture
async def forwarder(redis: Redis) -> AsyncIterator[RedisForwarder]:
    async with forwarding_redis(Path(redis.connection_pool.connection_kwargs["path"])) as made:
        yield made


@pytest.mark.usefixtures("writer")
async def test_when_the_connection_is_lost_nothing_is_kept_and_the_next_question_is_answered(forwarder):
    async with connect(forwarder.address, "tests") as lost:
        reader = TrackedReader(lost, KeptPieces(10**6))
        await keep(reader)
        assert list_kept(reader) == HOURS
        forwarder.close_all()

        assert (await reader.read(BTC, [])).newest == NOON
        assert list_kept(reader) == []

        await keep(reader)
        assert list_kept(reader) == HOURS
        await reader.close()


@pytest.mark.usefixtures("writer")
async def test_while_redis_is_away_each_question_says_so_and_nothing_is_kept(forwarder):
    async with connect(forwarder.address, "tests") as lost:
        reader = TrackedReader(lost, KeptPieces(10**6))
        await keep(reader)
        home, forwarder.target = forwarder.target, Path("/nowhere/redis.sock")
        forwarder.close_all()

        answers = await asyncio.gather(*[reader.read(BTC, []) for _ in range(3)], return_exceptions=True)
        assert [type(answer) for answer in answers] == [StoreAway] * 3
        assert list_kept(reader) == []

        forwarder.target = home
        await keep(reader)
        assert list_kept(reader) == HOURS
        await reader.close()


@pytest.mark.usefixtures("writer")
async def test_each_exchange_is_observed_although_its_connection_is_never_given_back(redis):
    seen: list[bool] = []

    def observe(seconds: float, *, is_failed: bool) -> None:
        assert seconds >= 0
        seen.append(is_failed)

    address = f"unix://{redis.connection_pool.connection_kwargs['path']}"
    async with connect(address, "tests", observe=observe) as observed:
        reader = TrackedReader(observed, KeptPieces(10**6))
        await reader.read(BTC, HOURS)
        await reader.read(BTC, [])
        await reader.close()

    assert seen == [False, False]
