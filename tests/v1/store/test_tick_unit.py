"""A tick as a unit of work: what it knows, what it waits for, and that nothing is written before its commit."""

import asyncio

import pytest
from redis.asyncio import Redis

from tests.support.alerts import alert
from tests.support.ledger import BTC, ETH, dump, heard
from tests.support.serving import MINUTE, NOON, sample
from v1.market.advance import advance_all
from v1.model import find_hour
from v1.rules import Evaluation, SubjectResult
from v1.store import TickUnit, Writer, keys
from worker.sampling.tick import commit_tick


@pytest.fixture
async def writer(fake: Redis) -> Writer:
    store = Writer(fake)
    await store.open()
    await commit_tick(NOON, heard({BTC: "1", ETH: "2"}), store)
    return store


async def commit_updates(unit: TickUnit, at: int, evaluation: Evaluation) -> None:
    states = await unit.read_states([BTC, ETH])
    await unit.commit(advance_all(at, [BTC, ETH], heard({BTC: "3"}), states), evaluation=evaluation)


async def test_a_tick_that_is_left_without_a_commit_changes_nothing(fake: Redis, writer: Writer):
    before = await dump(fake)

    async with writer.open_tick(NOON + MINUTE) as unit:
        await unit.read_states([BTC, ETH])

    assert await dump(fake) == before
    assert not writer.turn.locked()


async def test_late_samples_wait_for_the_tick_that_is_open(writer: Writer):
    async with writer.open_tick(NOON + MINUTE) as unit:
        late = asyncio.create_task(writer.insert_samples(BTC, [sample(NOON - MINUTE, "5")], "tests", NOON))
        await asyncio.sleep(0)
        await commit_updates(unit, NOON + MINUTE, Evaluation({}, {}))
        assert not late.done()

    assert await late == 1


async def test_it_knows_the_metrics_of_the_day_and_whether_late_samples_came_since_the_last_commit(writer: Writer):
    await writer.insert_samples(BTC, [sample(NOON - MINUTE, "5")], "tests", NOON)

    async with writer.open_tick(NOON + MINUTE) as unit:
        assert unit.known_metrics == {BTC, ETH}
        assert unit.has_late_samples
        await commit_updates(unit, NOON + MINUTE, Evaluation({}, {}))

    async with writer.open_tick(NOON + 2 * MINUTE) as unit:
        assert not unit.has_late_samples


async def test_messages_are_counted_only_at_a_tick_that_was_begun_before(writer: Writer):
    at = NOON + MINUTE
    result = SubjectResult({}, (alert(BTC, at), alert(ETH, at, suppressed_by="mute hours")))
    async with writer.open_tick(at) as unit:
        await unit.read_states([BTC, ETH])
        assert await unit.count_messages() == {}
        await commit_updates(unit, at, Evaluation({BTC: result}, {}))

    async with writer.open_tick(at) as unit:
        await unit.read_states([BTC, ETH])
        assert await unit.count_messages() == {"spike": 1}


async def test_a_state_that_is_lost_is_recounted_from_its_samples_before_it_is_returned(fake: Redis, writer: Writer):
    (before,) = await writer.read_metric_states([BTC])
    await fake.delete(keys.moments(BTC))

    async with writer.open_tick(NOON + MINUTE) as unit:
        found, _ = await unit.read_states([BTC, ETH])

    assert before
    assert found.record
    assert found.record.day == before.day
    assert writer.recounted == 0, "none of its samples is gone"


async def test_a_state_that_counts_a_sample_that_is_gone_is_recounted_and_reported(fake: Redis, writer: Writer):
    await commit_tick(NOON + MINUTE, heard({BTC: "3"}), writer)
    await fake.zremrangebyscore(keys.samples(BTC, find_hour(NOON)), NOON, NOON)

    async with writer.open_tick(NOON + 2 * MINUTE) as unit:
        (found,) = await unit.read_states([BTC])

    assert found.record
    assert found.record.day[0].n == 1
    assert writer.recounted == 1
