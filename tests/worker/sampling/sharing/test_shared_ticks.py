"""Several workers that share a store leave what one alone leaves: samples, states, ranks and alerts, whoever is killed and when."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.support.crew import Crew, read_shared
from tests.support.serving import MINUTE, NOON
from tests.v1.store.test_cut_off_alerts import METRICS, OTHERS, RULES, log, script
from v1.market.slot_marking import TickEvidence
from v1.market.slots import SlotReason
from v1.rules import RuleEngine
from v1.store import Verifier, Writer
from v1.store.places import Places
from worker.sampling.absences import SourceAbsence, TickAbsences
from worker.sampling.tick import commit_tick

PARTITIONS = 5
TICKS = range(NOON, NOON + 5 * MINUTE, MINUTE)
ABSENCES = TickAbsences(
    [
        SourceAbsence("kraken", frozenset(METRICS), SlotReason.NOT_GIVEN),
        SourceAbsence("binance", frozenset(OTHERS), SlotReason.NO_ANSWER),
    ]
)


def make_engine() -> RuleEngine:
    return RuleEngine(RULES, (), MINUTE)


def divide(redis: Redis) -> Redis:
    redis.places = Places(PARTITIONS)  # type: ignore[attr-defined]  # as a client of a cluster has it
    return redis


@pytest.fixture
async def whole(fake: Redis) -> tuple[Any, Any]:
    """Return what one worker alone leaves."""
    store = Writer(divide(fake))
    await store.lease.take_or_keep("alone")
    await store.open()
    for at, readings in zip(TICKS, script(), strict=True):
        evidence = TickEvidence(MINUTE, await store.read_tick(), ABSENCES.explain)
        await commit_tick(at, readings, store, make_engine(), 0, evidence)
    found = await read_shared(fake), sort_alerts(await log(fake))
    await fake.flushall()
    return found


def sort_alerts(found: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
    """Return the alerts of `log`, in no order among those of one tick."""
    alerts, messages, outages = found
    return sorted(alerts), messages, outages


async def play(crew: Crew, ticks: Mapping[int, Any]) -> None:
    for at, readings in ticks.items():
        await crew.commit(at, readings, await crew.home.read_tick(), ABSENCES)


async def test_three_workers_leave_what_one_leaves(whole: tuple[Any, Any], fake: Redis):
    crew = Crew(divide(fake), make_engine())
    await crew.open()

    async with asyncio.timeout(60):
        await play(crew, dict(zip(TICKS, script(), strict=True)))
    await crew.close()

    assert sorted(tag for mate in crew.mates.values() for tag in mate.leases.held) == sorted(
        Places(PARTITIONS).list_tags()
    )
    assert sort_alerts(await log(fake)) == whole[1]
    assert await read_shared(fake) == whole[0]
    assert (await Verifier(fake).verify(repair=False)).is_clean
