"""A tick that is cut off after any of its commands and begun again: no alert is lost, and none is said or sent twice."""

import pytest
from redis.asyncio import Redis

from tests.support.cutting import CutOff
from tests.support.divided import RULES, log, script
from tests.support.serving import MINUTE, NOON
from v1.rules import RuleEngine
from v1.store import StoreAway, Writer, keys
from worker.sampling.tick import commit_tick

MANY = 1000


async def played(redis: Redis, cut_tick: int | None = None, after: int = 0) -> bool:
    """Play the script; cut one tick off, and go on as a new process would. Tell whether there was something to cut."""
    await redis.flushall()
    engine, cut = RuleEngine(RULES, (), MINUTE), False
    for number, readings in enumerate(script()):
        at = NOON + number * MINUTE
        if number == cut_tick:
            broken = CutOff(redis)
            await broken.open()
            broken.after = after
            with pytest.raises(StoreAway):
                await commit_tick(at, readings, broken, engine)
            cut = await redis.get(keys.TICK) != str(at)
        store = Writer(redis)
        await store.open()
        if await store.read_tick() != at:
            await commit_tick(at, readings, store, engine)
    return cut


async def test_a_tick_cut_off_anywhere_and_begun_again_leaves_the_same_log_and_the_same_messages(fake: Redis):
    await played(fake)
    whole = await log(fake)

    for number in range(len(script())):
        for after in range(0, MANY, 7):
            if not await played(fake, number, after):
                break
            assert await log(fake) == whole, (number, after)
        else:
            pytest.fail("a tick has no so many commands")

    assert {alert.partition(".")[0] for alert in whole[0]} >= {'{"id":"above', '{"id":"stale', '{"id":"top'}
