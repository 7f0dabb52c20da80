"""The lease as a fence: from the moment in which somebody else takes it, not a command more is done; scripts come by themselves."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.support.cluster import ON_ONE_NODE
from tests.support.ledger import BTC, ETH, XRP, dump, heard, play
from tests.support.serving import HOUR, MINUTE, NOON, sample
from v1.model import find_hour
from v1.rules import RuleEngine, parse_rule
from v1.store import LeaseLost, StoreAway, StoreError, Verifier, Writer, commands, connect, keys
from worker.sampling.tick import commit_tick

BEFORE = {NOON - HOUR: {BTC: "46000", ETH: "2"}, NOON - MINUTE: {BTC: "46001", ETH: "2"}}
TICK = heard({BTC: "46003", ETH: "3", XRP: "1"})
RULES = [
    parse_rule({"id": "up", "kind": "threshold", "above": 2, "cooldown": 0}),
    parse_rule({"id": "stale", "kind": "stale", "intervals": 2, "cooldown": 0}),
]


class Interrupted(Writer):
    """A writer in whose next commit something happens after some of its calls."""

    after: int | None = None
    """After how many of them; `None`: nothing happens."""
    happen: Callable[[], Awaitable[object]]

    async def _run(self, pipe: Any) -> list[Any]:
        if self.after is None or not any(words[0] == "EVAL" for words, _ in pipe.command_stack):
            return await super()._run(pipe)
        first, others = self._pipe(), self._pipe()
        first.command_stack, others.command_stack = pipe.command_stack[: self.after], pipe.command_stack[self.after :]
        self.after = None
        answers = await super()._run(first) if first.command_stack else []
        await self.happen()
        return answers + await super()._run(others)


@pytest.fixture(autouse=True)
def _each_metric_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "METRICS_AT_ONCE", 1)


async def prepared(redis: Redis, kind: type[Writer] = Writer) -> Any:
    """Return a writer that has the lease, of a store with some ticks."""
    await redis.flushdb()
    store = kind(redis)
    await store.lease.take_or_keep("one")
    await store.open()
    await play(store, BEFORE)
    return store


async def count_calls(redis: Redis) -> int:
    """Return how many calls the commit of the tick is."""
    store, counted = await prepared(redis), []

    class Counting(Interrupted):
        async def _run(self, pipe: Any) -> list[Any]:
            counted.append(len(pipe.command_stack))
            return await super()._run(pipe)

    counting = Counting(redis)
    counting.session = store.session
    await commit_tick(NOON, TICK, counting, RuleEngine(RULES, (), MINUTE))
    return counted[-1]


async def test_whose_lease_is_taken_between_two_calls_writes_nothing_of_the_others(fake: Redis):
    calls = await count_calls(fake)
    assert calls > len(TICK) + 5
    for after in range(calls):
        store = await prepared(fake, Interrupted)
        left: dict[Any, Any] = {}

        async def take(left: dict[Any, Any] = left) -> None:
            await fake.delete(keys.LEASE)
            await Writer(fake).lease.take_or_keep("two")
            left |= await dump(fake)

        store.after, store.happen = after, take
        with pytest.raises(LeaseLost, match="two feeds this Redis now"):
            await commit_tick(NOON, TICK, store, RuleEngine(RULES, (), MINUTE))

        assert await dump(fake) == left


async def test_whose_lease_is_taken_between_two_calls_of_a_real_server_writes_nothing_of_the_others(redis: Redis):
    store = await prepared(redis, Interrupted)

    async def take() -> None:
        await Writer(redis).lease.take_over("two", "one")

    store.after, store.happen = 1, take
    with pytest.raises(LeaseLost, match="two feeds this Redis now"):
        await commit_tick(NOON, TICK, store)

    states = await Writer(redis).read_metric_states([BTC, ETH, XRP])
    assert [state and state.at for state in states] == [NOON, NOON - MINUTE, None]
    assert await store.read_tick() == NOON - MINUTE


async def test_whose_lease_is_taken_while_the_states_are_repaired_writes_nothing(redis: Redis):
    store = await prepared(redis)
    await redis.delete(keys.moments(BTC))
    await Writer(redis).lease.take_over("two", "one")
    left = await dump(redis)

    with pytest.raises(LeaseLost, match="two feeds this Redis now"):
        await store.repair.recount_lost([BTC], NOON - MINUTE)

    assert await dump(redis) == left


async def test_late_samples_of_one_whose_lease_was_taken_are_not_inserted(redis: Redis):
    store = await prepared(redis)
    read = store._read_day

    async def read_and_lose(*asked: Any) -> Any:
        found = await read(*asked)
        await Writer(redis).lease.take_over("two", "one")
        return found

    store._read_day = read_and_lose
    with pytest.raises(LeaseLost, match="two feeds this Redis now"):
        await store.insert_samples(BTC, [sample(NOON - 2 * MINUTE, "5")], "candles", NOON)

    assert len(await Writer(redis).read_samples(BTC, NOON - HOUR, NOON)) == 1


@ON_ONE_NODE
async def test_scripts_that_are_flushed_between_two_calls_come_with_the_next_try(redis: Redis):
    whole = await prepared(redis)
    await commit_tick(NOON, TICK, whole)
    expected = await dump(redis)
    store = await prepared(redis, Interrupted)

    store.after, store.happen = 2, redis.script_flush
    with pytest.raises(StoreAway):
        await commit_tick(NOON, TICK, store)
    await commit_tick(NOON, TICK, store)

    assert await dump(redis) == expected


async def test_of_a_server_whose_memory_is_full_all_calls_are_refused_whole(server: str):
    async with connect(server, "tests") as redis:
        store = await prepared(redis)
        left = await dump(redis)
        await redis.config_set("maxmemory", 1)
        try:
            with pytest.raises(StoreAway, match=r"^Redis is away: command not allowed when used memory"):
                await commit_tick(NOON, TICK, store)
            assert await dump(redis) == left
        finally:
            await redis.config_set("maxmemory", 0)
        await commit_tick(NOON, TICK, store)
        assert (await Verifier(redis).verify(repair=False)).is_clean


@ON_ONE_NODE
async def test_one_metric_whose_key_holds_something_else_keeps_no_other_back_and_is_named(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(commands, "METRICS_AT_ONCE", 25)
    store = await prepared(redis)
    await redis.set(keys.samples(XRP, find_hour(NOON)), "of somebody else", ex=60)

    with pytest.raises(StoreError, match=r"WRONGTYPE.*v1:moments:\{KRAKEN:XRPUSD\}"):
        await commit_tick(NOON, TICK, store)

    states = await Writer(redis).read_metric_states([BTC, ETH, XRP])
    assert [state and state.at for state in states] == [NOON, NOON, None]
