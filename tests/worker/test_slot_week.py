"""Half a day with random faults of every kind: no slot is unaccounted for, and what can be healed is healed."""

from redis.asyncio import Redis

from tests.support.slot_week import METRICS, open_week

MINUTES, FAULTS, SEED = 480, 10, 1


async def test_after_random_faults_every_slot_is_accounted_for_and_what_can_be_filled_is(fake: Redis):
    async with open_week(fake, SEED, MINUTES) as week:
        async for found in week.play(FAULTS):
            assert found.slots == 1440 * len(METRICS)
            assert found[1:5] == (0, 0, 0, 0), found

    assert week.faults.total() > FAULTS / 2
