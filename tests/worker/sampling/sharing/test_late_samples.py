"""Late samples go to whoever has their partition, and come to be what they are where one worker inserts them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.support.crew import Crew, read_shared, wait_until
from tests.support.divided import METRICS, heard
from tests.support.serving import HOUR, MINUTE, NOON
from v1.market.price_ranges import PriceRange
from v1.market.slot_marking import TickEvidence
from v1.market.slots import SlotReason
from v1.model import Measure, Sample
from v1.rules import NO_RULES
from v1.store import Unreadable, Verifier, Writer, connect, keys
from v1.store.places import Places
from v1.store.sharing.partition_writer import LateSamples, read_late, write_late
from worker.sampling.absences import TickAbsences
from worker.sampling.tick import commit_tick

PARTITIONS = 4
TICKS = (NOON, NOON + 5 * MINUTE, NOON + 6 * MINUTE)
ABSENCES = TickAbsences(otherwise=SlotReason.NOT_ASKED)
LATE = [Sample.make(NOON + minute * MINUTE, {Measure.PRICE: f"{minute}.5"}) for minute in (-3, 1, 2, 5)]

RANGES = {LATE[1].tick: PriceRange("1", "2.5", "0.5"), NOON + HOUR: PriceRange("1", "1", "1")}


@pytest.fixture
async def store(server: str) -> AsyncIterator[Redis]:
    async with connect(server, "tests") as redis:
        redis.places = Places(PARTITIONS)  # type: ignore[attr-defined]  # as a client of a cluster has it
        yield redis


async def insert(writer: Writer) -> list[int]:
    """Insert the samples into some metrics, and again, which changes nothing, and one in place of what is there."""
    at = TICKS[1]
    return [
        await writer.insert_samples(METRICS[0], LATE, "kraken", at, ranges=RANGES),
        await writer.insert_samples(METRICS[1], LATE[:2], "kraken", at, reason=SlotReason.ARCHIVE),
        await writer.insert_samples(METRICS[2], LATE, "kraken", at, replace={TICKS[1]}),
    ]


async def play_alone(store: Redis) -> tuple[list[int], Any]:
    alone = Writer(store)
    await alone.lease.take_or_keep("alone")
    await alone.open()
    counts: list[int] = []
    for at in TICKS:
        evidence = TickEvidence(MINUTE, await alone.read_tick(), ABSENCES.explain)
        await commit_tick(at, heard(dict.fromkeys(METRICS, "7")), alone, NO_RULES, 0, evidence)
        counts = counts or (await insert(alone) if at == TICKS[1] else [])
    found = await read_shared(store)
    await store.flushdb()
    return counts, found


async def test_late_samples_are_inserted_by_whoever_has_the_partition_and_what_is_none_is_left_out(store: Redis):
    counts, whole = await play_alone(store)
    crew = Crew(store, NO_RULES)
    await crew.open()

    async def is_inserted() -> bool:
        return not any([await store.llen(keys.readings(tag)) for tag in Places(PARTITIONS).list_tags()])

    async with asyncio.timeout(60):
        for at in TICKS:
            await crew.commit(at, heard(dict.fromkeys(METRICS, "7")), await crew.home.read_tick(), ABSENCES)
            if at == TICKS[1]:
                await store.rpush(keys.readings(Places(PARTITIONS).list_tags()[0]), "[1,2]")
                assert await insert(crew.home) == counts
                await wait_until(is_inserted)
                assert await insert(crew.home) == [0, 0, 0]
    await crew.close()

    assert await read_shared(store) == whole
    assert (await Verifier(store).verify(repair=False)).is_clean


async def test_who_is_killed_while_late_samples_wait_leaves_them_to_the_next(store: Redis):
    crew = Crew(store, NO_RULES, ("one", "two"))
    await crew.open()
    async with asyncio.timeout(60):
        await crew.commit(TICKS[0], heard(dict.fromkeys(METRICS, "7")), None, ABSENCES)
        await crew.mates["one"].end()
        for metric in METRICS:
            assert await crew.home.insert_samples(metric, LATE[:1], "kraken", TICKS[0]) == 1
        await crew.bury("one")

        async def are_all_there() -> bool:
            return all([len(await crew.home.read_ticks(metric, NOON - 10 * MINUTE, NOON)) == 2 for metric in METRICS])

        await wait_until(are_all_there)
    await crew.close()


def test_late_samples_are_read_as_they_were_written():
    late = LateSamples(METRICS[0], "kraken", NOON, SlotReason.ARCHIVE, frozenset({NOON}), LATE, RANGES)
    assert read_late("key", write_late(late)) == late
    with pytest.raises(Unreadable, match="key holds something else"):
        read_late("key", "[1,2]")
