"""Several workers that share a store leave what one alone leaves: samples, states, ranks and alerts, whoever is killed and when."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.support.crew import Crew, Killed, read_shared
from tests.support.divided import METRICS, OTHERS, RULES, log, script
from tests.support.serving import MINUTE, NOON
from v1.market.slot_marking import TickEvidence
from v1.market.slots import SlotReason
from v1.rules import RuleEngine
from v1.store import Verifier, Writer, connect
from v1.store.places import Places
from worker.sampling.absences import SourceAbsence, TickAbsences
from worker.sampling.tick import commit_tick

PARTITIONS = 5
KILLED_AT = 3
TICKS = range(NOON, NOON + 5 * MINUTE, MINUTE)
ABSENCES = TickAbsences(
    [
        SourceAbsence("kraken", frozenset(METRICS), SlotReason.NOT_GIVEN),
        SourceAbsence("binance", frozenset(OTHERS), SlotReason.NO_ANSWER),
    ]
)


def make_engine() -> RuleEngine:
    return RuleEngine(RULES, (), MINUTE)


@pytest.fixture
async def store(server: str) -> AsyncIterator[Redis]:
    """Return a client of one server, divided as a cluster is."""
    async with connect(server, "tests") as redis:
        redis.places = Places(PARTITIONS)  # type: ignore[attr-defined]  # as a client of a cluster has it
        yield redis


@pytest.fixture
async def whole(store: Redis) -> tuple[Any, Any]:
    """Return what one worker alone leaves."""
    alone = Writer(store)
    await alone.lease.take_or_keep("alone")
    await alone.open()
    for at, readings in zip(TICKS, script(), strict=True):
        evidence = TickEvidence(MINUTE, await alone.read_tick(), ABSENCES.explain)
        await commit_tick(at, readings, alone, make_engine(), 0, evidence)
    found = await read_shared(store), sort_alerts(await log(store))
    await store.flushdb()
    return found


def sort_alerts(found: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
    """Return the alerts of `log`, in no order among those of one tick."""
    alerts, messages, outages = found
    return sorted(alerts), messages, outages


async def play(crew: Crew, ticks: Mapping[int, Any]) -> None:
    for at, readings in ticks.items():
        await crew.commit(at, readings, await crew.home.read_tick(), ABSENCES)


async def test_three_workers_leave_what_one_leaves(whole: tuple[Any, Any], store: Redis):
    crew = Crew(store, make_engine())
    await crew.open()

    async with asyncio.timeout(60):
        await play(crew, dict(zip(TICKS, script(), strict=True)))
    await crew.close()

    assert sorted(tag for mate in crew.mates.values() for tag in mate.leases.held) == sorted(
        Places(PARTITIONS).list_tags()
    )
    assert sort_alerts(await log(store)) == whole[1]
    assert await read_shared(store) == whole[0]
    assert (await Verifier(store).verify(repair=False)).is_clean


async def commit_with_death(crew: Crew, at: int, readings: Any, name: str) -> bool:
    """Commit a tick; where a worker dies meanwhile, have it buried. Return whether it died."""
    mate, previous = crew.mates[name], await crew.home.read_tick()
    assert mate.task is not None
    committing = asyncio.create_task(crew.commit(at, readings, previous, ABSENCES))
    await asyncio.wait({committing, mate.task}, return_when=asyncio.FIRST_COMPLETED)
    is_dead = mate.task.done()
    if is_dead:
        await crew.bury(name)
    await committing
    return is_dead


async def test_a_worker_that_is_killed_before_any_of_its_steps_loses_nothing(whole: tuple[Any, Any], store: Redis):
    for before in range(40):
        await store.flushdb()
        crew, is_dead = Crew(store, make_engine()), False
        await crew.open()
        busiest = max(crew.mates.values(), key=lambda mate: len(mate.leases.held)).name
        async with asyncio.timeout(60):
            for place, (at, readings) in enumerate(zip(TICKS, script(), strict=True)):
                if place == KILLED_AT:
                    crew.mates[busiest].writer.before = before
                    is_dead = await commit_with_death(crew, at, readings, busiest)
                    if not is_dead:
                        break
                else:
                    await play(crew, {at: readings})
        await crew.close()
        if not is_dead:
            assert before > 8
            break
        assert sort_alerts(await log(store)) == whole[1], before
        assert await read_shared(store) == whole[0], before
    else:
        pytest.fail("a tick has no so many steps")


async def test_whoever_hands_out_ticks_and_is_killed_before_any_step_loses_nothing(
    whole: tuple[Any, Any], store: Redis
):
    for completing in (False, True):
        for before in range(3 if not completing else 20):
            if not await play_with_new_home(store, before, completing=completing):
                assert completing
                assert before > 4
                break
            assert sort_alerts(await log(store)) == whole[1], (before, completing)
            assert await read_shared(store) == whole[0], (before, completing)
        else:
            assert not completing


async def play_with_new_home(store: Redis, before: int, *, completing: bool) -> bool:
    """Play the script; one who hands out ticks is killed, another goes on. Return whether it was killed."""
    await store.flushdb()
    crew, is_dead = Crew(store, make_engine()), False
    await crew.open()
    async with asyncio.timeout(60):
        for place, (at, readings) in enumerate(zip(TICKS, script(), strict=True)):
            if place == KILLED_AT:
                setattr(crew.home, "before_completing" if completing else "before", before)
            previous = await crew.home.read_metrics() and TICKS[place - 1]
            try:
                await crew.commit(at, readings, previous or None, ABSENCES)
            except Killed:
                is_dead = True
                await crew.open_home(f"home {before}")
                if await crew.home.read_tick() != at:
                    await crew.commit(at, readings, previous or None, ABSENCES)
            crew.home.before = None
    await crew.close()
    return is_dead
