"""Values of keys that lie in many slots are asked for together, and come in the order of the keys."""

from redis.exceptions import ClusterDownError

from tests.support.cluster import RunningCluster
from v1.model import Metric
from v1.store import connect, keys
from v1.store.cluster.routing import BatchPlan
from v1.store.places import Places

PARTITIONS = 8
PLACES = Places(PARTITIONS)
NAMED = [keys.moments(Metric(f"KRAKEN:M{number}")) for number in range(50)]
ANSWER_SECONDS = 60.0


async def test_values_come_in_the_order_of_their_keys_beside_those_of_other_commands(cluster: RunningCluster):
    async with connect(cluster.url, "tests", ANSWER_SECONDS, partitions=PARTITIONS) as redis:
        for key in NAMED[::2]:
            await redis.set(key, f"value of {key}")
        pipe = redis.pipeline(transaction=False)
        pipe.get(NAMED[2])
        pipe.mget(NAMED)
        pipe.mget([NAMED[1], NAMED[0], NAMED[0]])
        pipe.exists(*NAMED)

        first, values, turned, count = await pipe.execute()

    assert first == f"value of {NAMED[2]}"
    assert values == [None if number % 2 else f"value of {key}" for number, key in enumerate(NAMED)]
    assert turned == [None, f"value of {NAMED[0]}", f"value of {NAMED[0]}"]
    assert count == len(NAMED[::2])


def test_each_slot_is_sent_one_command_with_its_keys():
    plan = BatchPlan([("MGET", *NAMED)], PLACES, lambda slot: slot)

    sent = [command for batch in plan.batches.values() for command in batch.commands]
    assert len(sent) == len(plan.batches) <= PARTITIONS
    assert sorted(key for command in sent for key in command[1:]) == sorted(map(PLACES.place, NAMED))


def test_an_error_of_one_slot_is_the_answer():
    plan = BatchPlan([("MGET", *NAMED)], PLACES, lambda slot: slot)
    bad, error = [*plan.batches][-1], ClusterDownError("the slot is not served")

    def answer(slot: int) -> list[object]:
        return [error if slot == bad else ["value"] * (len(command) - 1) for command in plan.batches[slot].commands]

    assert plan.merge(answer) == [error]


def test_a_command_without_keys_is_left_to_the_server_to_refuse():
    plan = BatchPlan([("MGET",)], PLACES, lambda slot: slot)

    assert [batch.commands for batch in plan.batches.values()] == [[("MGET",)]]
