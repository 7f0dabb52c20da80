"""One tick: who is moved, what is committed, and that nothing is left behind that was changed for it."""

import gc

import pytest
from redis.asyncio import Redis

from worker.latest import Metric, Reading
from worker.latest.market import SourceReading
from worker.latest.store import Writer
from worker.sampling.tick import commit_tick

NOON = 1_621_252_800
BTC, ETH, XRP = (Metric(f"KRAKEN:{coin}USD") for coin in ("BTC", "ETH", "XRP"))


def heard(price: str) -> SourceReading:
    return SourceReading(Reading(price), "tests")


async def test_a_tick_moves_those_that_were_heard_and_those_that_are_known(fake: Redis):
    store = Writer(fake)
    await store.open()
    await commit_tick(NOON - 60, {BTC: heard("1"), ETH: heard("2")}, store)

    moved = await commit_tick(NOON, {ETH: heard("3"), XRP: heard("4")}, store)

    assert moved == 3
    records = await store.read_metric_states([BTC, ETH, XRP])
    assert [(record.at, record.newest) for record in records if record] == [
        (NOON, NOON - 60),
        (NOON, NOON),
        (NOON, NOON),
    ]
    assert await store.read_tick() == NOON
    assert await store.read_metrics() == {BTC: NOON - 60, ETH: NOON, XRP: NOON}


@pytest.mark.parametrize("was_on", [True, False])
async def test_the_collector_is_left_as_it_was(fake: Redis, was_on: bool):
    store = Writer(fake)
    await store.open()
    if not was_on:
        gc.disable()
    try:
        await commit_tick(NOON, {BTC: heard("1")}, store)

        assert gc.isenabled() is was_on
    finally:
        gc.enable()


async def test_the_collector_is_on_again_after_a_tick_that_failed(fake: Redis):
    store = Writer(fake)
    await store.open()
    with pytest.raises(ValueError):
        await commit_tick(NOON, {BTC: heard("not a number")}, store)

    assert gc.isenabled()
    assert not store.turn.locked()
