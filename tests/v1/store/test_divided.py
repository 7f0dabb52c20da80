"""A divided store on one server: alerts go home once, whoever is killed; what a part forgets is committed again, to the byte."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.support.divided import (
    METRICS,
    PARTITIONS,
    TAGS,
    TICKS,
    divide,
    forget_since,
    leave_out_alert_keys,
    log,
    make_engine,
    open_writer,
    play_whole,
    read_contents,
    read_ends,
    read_events,
    save,
    script,
)
from tests.support.ledger import heard
from tests.support.serving import MINUTE, NOON, sample
from v1.model import Metric
from v1.rules import RuleEngine
from v1.store import LeaseLost, StoreAway, Verifier, Writer, commands, connect, keys
from v1.store.homeward import KEPT_SECONDS
from v1.store.places import HOME, Places
from worker.sampling.tick import commit_tick


class Killed(Exception):
    """The process ends here."""


class Interrupted(Writer):
    """A writer that does something before one of its pipelines, or is killed there."""

    before: int | None = None
    """Before the how manieth pipeline from now on."""
    happen: Callable[[], Awaitable[object]]

    async def _run(self, pipe: Any) -> list[Any]:
        if self.before is not None:
            self.before -= 1
            if self.before < 0:
                self.before = None
                await self.happen()
        return await super()._run(pipe)


@pytest.fixture
async def divided(server: str) -> AsyncIterator[Redis]:
    async with connect(server, "tests") as redis:
        yield divide(redis)


async def test_a_divided_store_has_what_one_that_is_not_has(server: str, divided: Redis):
    async with connect(server, "tests") as redis:
        await play_whole(redis)
        alerts, events, ends = await log(redis), await read_events(redis), await read_ends(redis)
        contents = leave_out_alert_keys(await read_contents(redis))
        await redis.flushall()

    await play_whole(divided)

    assert await log(divided) == alerts
    assert await read_events(divided) == events
    assert leave_out_alert_keys(await read_contents(divided)) == contents
    assert await read_ends(divided) == ends
    assert {await divided.get(keys.partition_tick(tag)) for tag in TAGS} == {str(TICKS[-1])}
    assert (await Verifier(divided).verify(repair=False)).is_clean


async def test_whoever_is_killed_between_any_two_steps_leaves_each_alert_once(divided: Redis):
    await play_whole(divided)
    alerts, events = await log(divided), await read_events(divided)

    for number in range(len(script())):
        for before in range(30):
            await divided.flushall()
            if not await play_killed(divided, number, before):
                break
            assert await log(divided) == alerts, (number, before)
            assert await read_events(divided) == events, (number, before)
        else:
            pytest.fail("a tick has no so many steps")


async def play_killed(redis: Redis, number: int, before: int) -> bool:
    """Play the script with a worker that is killed in one tick, and another from then on; return whether it was killed."""

    async def kill() -> None:
        raise Killed

    engine, is_killed = make_engine(), False
    store = await open_writer(redis, Interrupted)
    for place, (at, readings) in enumerate(zip(TICKS, script(), strict=True)):
        if place == number:
            store.before, store.happen = before, kill
            try:
                await commit_tick(at, readings, store, engine)
            except Killed:
                is_killed = True
                store = await open_writer(redis)
                await commit_tick(at, readings, store, engine)
            store.before = None
        else:
            await commit_tick(at, readings, store, engine)
    return is_killed


async def test_entries_that_were_taken_over_stay_for_a_while_and_go_then(divided: Redis):
    store, engine = await open_writer(divided), make_engine()
    lengths = []
    for at, readings in zip(TICKS, script(), strict=True):
        await commit_tick(at, readings, store, engine)
        lengths.append(sum([await divided.llen(keys.homeward(tag)) for tag in TAGS]))
    assert max(lengths) > 0
    await commit_tick(TICKS[-1] + KEPT_SECONDS, script()[0], store)

    assert [await divided.llen(keys.homeward(tag)) for tag in TAGS] == [0] * PARTITIONS


async def test_an_entry_that_cannot_be_read_keeps_no_other_back(divided: Redis):
    store, engine = await open_writer(divided), make_engine()
    await divided.rpush(keys.homeward(TAGS[0]), "no entry", '["nor this"]')
    await divided.expire(keys.homeward(TAGS[0]), 60)
    for at, readings in zip(TICKS, script(), strict=True):
        await commit_tick(at, readings, store, engine)

    assert len((await log(divided))[0]) > 3


# ---- the fence --------------------------------------------------------------------------------------------


async def test_who_takes_the_lease_takes_the_fence_of_every_partition(divided: Redis):
    await open_writer(divided)
    assert {await divided.get(keys.feeder(tag)) for tag in TAGS} == {"one"}

    await Writer(divided).lease.take_over("two", "one")

    assert {await divided.get(keys.feeder(tag)) for tag in TAGS} == {"two"}


async def test_who_gives_the_lease_back_gives_the_fences_back(divided: Redis):
    store = await open_writer(divided)

    await store.lease.release("one")

    assert not await divided.exists(keys.LEASE, *map(keys.feeder, TAGS))


async def test_whose_partition_is_taken_writes_nothing_into_it(divided: Redis):
    store = await open_writer(divided)
    await divided.set(keys.feeder(TAGS[1]), "two", ex=60)
    places = Places(PARTITIONS)

    with pytest.raises(LeaseLost, match="two feeds this Redis now"):
        await commit_tick(NOON, script()[0], store)

    states = dict(zip(METRICS, await store.read_metric_states(METRICS), strict=True))
    assert {places.find_tag(metric) for metric, state in states.items() if state} == {TAGS[0], TAGS[2]}
    assert await store.read_tick() is None


async def test_a_fence_that_a_failover_forgot_is_taken_again(divided: Redis):
    store = await open_writer(divided)
    await divided.delete(keys.feeder(TAGS[1]))

    with pytest.raises(StoreAway, match="ran out"):
        await commit_tick(NOON, script()[0], store)
    await store.open()
    await commit_tick(NOON, script()[0], store)

    assert await store.read_tick() == NOON


async def test_a_partition_fence_is_not_renewed_where_another_has_it(divided: Redis):
    store = await open_writer(divided)
    await divided.set(keys.feeder(TAGS[1]), "two", ex=60)

    assert await store.lease.take_or_keep("one") == "two"


# ---- what a failover forgets ------------------------------------------------------------------------------


async def commit_again(store: Writer, at: int, readings: Any, engine: RuleEngine) -> None:
    """Commit a tick as the worker does: where the store is away, it is opened anew, and the tick tried again."""
    try:
        await commit_tick(at, readings, store, engine)
    except StoreAway:
        await store.open()
        await commit_tick(at, readings, store, engine)


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("tag", [*TAGS, HOME])
async def test_ticks_that_a_part_forgot_are_committed_again(divided: Redis, tag: str, depth: int):
    await play_whole(divided)
    whole, alerts, events = await read_contents(divided), await log(divided), await read_events(divided)
    await divided.flushall()

    store, engine, saved = await open_writer(divided), make_engine(), []
    for place, (at, readings) in enumerate(zip(TICKS, script(), strict=True)):
        saved.append(await save(divided, tag))
        if place == 4:
            await forget_since(divided, tag, saved[place - depth])
        await commit_again(store, at, readings, engine)

    assert await log(divided) == alerts
    assert await read_contents(divided) == whole
    if tag != HOME:
        assert await read_events(divided) == events
    assert store.session.recommitted == 1
    assert (await Verifier(divided).verify(repair=False)).is_clean


class Halved(Writer):
    """A writer that saves a partition after some of its calls in the tick after `since`."""

    def __init__(self, redis: Redis, tag: str, calls: int, since: int) -> None:
        super().__init__(redis)
        self.half: dict[str, Any] = {}
        self._tag, self._calls, self._since = tag, calls, since

    async def _run(self, pipe: Any) -> list[Any]:
        stack = pipe.command_stack
        first = next((place for place, (words, _) in enumerate(stack) if keys.feeder(self._tag) in words), None)
        if first is None or self.half or await self.read_tick() != self._since:
            return await super()._run(pipe)
        part, rest = self._pipe(), self._pipe()
        part.command_stack, rest.command_stack = stack[: first + self._calls], stack[first + self._calls :]
        answers = await super()._run(part)
        self.half = await save(self._redis, self._tag)
        return answers + (await super()._run(rest) if rest.command_stack else [])


@pytest.mark.parametrize("calls", [1, 2, 3, 4])
@pytest.mark.parametrize("tag", TAGS)
async def test_a_part_that_forgot_half_a_tick_is_completed(
    divided: Redis, monkeypatch: pytest.MonkeyPatch, tag: str, calls: int
):
    monkeypatch.setattr(commands, "METRICS_AT_ONCE", 1)
    await play_whole(divided)
    whole, alerts = await read_contents(divided), await log(divided)
    await divided.flushall()

    store, engine = Halved(divided, tag, calls, TICKS[2]), make_engine()
    await store.lease.take_or_keep("one")
    await store.open()
    for at, readings in zip(TICKS, script(), strict=True):
        if at == TICKS[4]:
            assert store.half
            await forget_since(divided, tag, store.half)
        await commit_again(store, at, readings, engine)

    assert await log(divided) == alerts
    assert await read_contents(divided) == whole


async def test_late_samples_that_are_forgotten_with_a_later_tick_are_inserted_again(divided: Redis):
    store = await open_writer(divided)
    metric = METRICS[0]
    tag = Places(PARTITIONS).find_tag(metric)
    await commit_tick(NOON, script()[0], store)
    saved = await save(divided, tag)
    await store.insert_samples(metric, [sample(NOON - MINUTE, "7")], "candles", NOON)
    await commit_tick(NOON + MINUTE, script()[1], store)
    expected = await read_contents(divided)
    await forget_since(divided, tag, saved)

    await store.open()

    assert await read_contents(divided) == expected
    assert (await Verifier(divided).verify(repair=False)).is_clean


async def test_what_is_not_remembered_any_more_is_not_made_up(divided: Redis):
    store, engine = await open_writer(divided), make_engine()
    tag = Places(PARTITIONS).find_tag(METRICS[0])
    saved = await save(divided, tag)
    for at, readings in zip(TICKS, script(), strict=True):
        await commit_tick(at, readings, store, engine)
    store.feeder._commit_log.note_replicated(tag, TICKS[1])
    await forget_since(divided, tag, saved)

    await commit_again(store, TICKS[-1] + MINUTE, heard(dict.fromkeys(METRICS, "1")), engine)

    assert await divided.get(keys.partition_tick(tag)) == str(TICKS[-1] + MINUTE)
    samples = await store.read_samples(METRICS[0], NOON - MINUTE, TICKS[-1] + MINUTE)
    assert [each.tick for each in samples] == [TICKS[-1] + MINUTE]
    assert (await Verifier(divided).verify(repair=False)).is_clean


def test_metrics_of_the_script_lie_in_several_partitions():
    assert len({Places(PARTITIONS).find_tag(Metric(metric)) for metric in METRICS}) > 1
