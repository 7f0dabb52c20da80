"""However often a tick is cut off and repeated, what is left is what an undisturbed run leaves, byte for byte."""

import random
from collections.abc import Mapping
from contextlib import suppress

import pytest
from redis.asyncio import Redis

from tests.support.cutting import CutOff
from tests.support.ledger import dump, heard
from tests.support.serving import HOUR, MINUTE, NOON
from v1.model import Metric, Reading
from v1.store import StoreAway, Writer, connect
from worker.sampling.tick import commit_tick

Ticks = Mapping[int, Mapping[Metric, Reading]]


def day_and_a_half(seed: int) -> Ticks:
    """Make a market where metrics come, fall silent, come back and vanish, with numbers of many lengths."""
    dice = random.Random(seed)
    metrics = [Metric(f"A:{letter}") for letter in "QWERTY"]
    at, ticks = NOON, {}
    for _ in range(32):
        at += dice.choice([MINUTE, 20 * MINUTE, 50 * MINUTE, 50 * MINUTE, 2 * HOUR])
        ticks[at] = {metric: _reading(dice) for metric in metrics if dice.random() < 0.7}
    for later in range(8):
        ticks[at + (later + 1) * 3 * HOUR] = {metrics[later % 2]: _reading(dice)}
    return ticks


def _reading(dice: random.Random) -> Reading:
    price = dice.choice(["{:.2f}", "{:.8f}", "{:.0f}", "{:.3e}"]).format(dice.lognormvariate(2, 5))
    change = dice.choice([None, None, f"{dice.uniform(-9, 9):.3f}"])
    return Reading(price, dice.choice([None, f"{dice.random():.4f}"]), change, change, dice.choice([None, "0", "1.50"]))


async def undisturbed(redis: Redis, ticks: Ticks) -> dict[str, object]:
    store = Writer(redis)
    await store.open()
    for at, market in ticks.items():
        await commit_tick(at, heard(market), store)
    return await dump(redis)


async def committed_twice(redis: Redis, ticks: Ticks) -> None:
    store = Writer(redis)
    await store.open()
    for at, market in ticks.items():
        await commit_tick(at, heard(market), store)
        await commit_tick(at, heard(market), store)


async def by_a_new_worker_each(redis: Redis, ticks: Ticks) -> None:
    for at, market in ticks.items():
        store = Writer(redis)
        await store.open()
        await commit_tick(at, heard(market), store)


async def cut_off_and_repeated(redis: Redis, ticks: Ticks) -> None:
    dice, store = random.Random(7), CutOff(redis)
    await store.open()
    for at, market in ticks.items():
        for _ in range(dice.choice([0, 1, 2])):
            store.after = dice.choice([dice.randrange(1, 40), dice.randrange(1, 160)])
            with suppress(StoreAway):
                await commit_tick(at, heard(market), store)
        store.after = None
        await commit_tick(at, heard(market), store)


async def cut_off_and_taken_up_by_a_new_worker(redis: Redis, ticks: Ticks) -> None:
    dice = random.Random(8)
    for at, market in ticks.items():
        store = CutOff(redis)
        await store.open()
        store.after = dice.choice([dice.randrange(1, 40), dice.randrange(1, 160)])
        with suppress(StoreAway):
            await commit_tick(at, heard(market), store)
        await by_a_new_worker_each(redis, {at: market})


@pytest.mark.parametrize(
    "disturbed", [committed_twice, by_a_new_worker_each, cut_off_and_repeated, cut_off_and_taken_up_by_a_new_worker]
)
@pytest.mark.parametrize("seed", [1, 2])
async def test_a_disturbed_run_leaves_what_an_undisturbed_one_leaves(fake: Redis, disturbed, seed: int):
    ticks = day_and_a_half(seed)
    expected = await undisturbed(fake, ticks)
    await fake.flushall()

    await disturbed(fake, ticks)

    assert await dump(fake) == expected


async def test_two_kinds_of_server_and_their_imitation_hold_the_same(fake: Redis, valkey: str, redis7: str):
    ticks = day_and_a_half(3)
    expected = await undisturbed(fake, ticks)
    for address in (valkey, redis7):
        async with connect(address, "tests") as client:
            await client.flushall()

            held = await undisturbed(client, ticks)

            assert {key: as_pairs(value) for key, value in held.items()} == {
                key: as_pairs(value) for key, value in expected.items()
            }
            await client.flushall()


def as_pairs(value: tuple[str, str, bool]) -> tuple[str, str, bool]:
    """Write pairs alike, which one protocol gives as tuples and the other as lists."""
    kind, content, has_end = value
    return kind, content.replace("(", "[").replace(")", "]"), has_end
