"""Killed anywhere: nothing is half-written, and the same tick again completes it, to the byte."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import deepcopy
from itertools import count
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests.conftest import emptied
from tests.support.cutting import CutOff, Proxy, proxying
from tests.support.ledger import BTC, DOGE, ETH, XRP, dump, heard, play
from tests.support.serving import HOUR, MINUTE, NOON, sample
from tests.support.units import read_states
from v1.model import DAY, Metric, Reading
from v1.store import StoreAway, TickUnit, Verifier, Writer, commands, connect, keys
from v1.store.scripts import COMMIT_METRICS
from worker.sampling.tick import commit_tick

# ETH falls silent, and is over at NOON; DOGE is new at NOON; BTC loses a sample at NOON.
BEFORE = {
    NOON - DAY: {BTC: "46000.5", ETH: "2e-9"},
    NOON - HOUR: {BTC: "46001", XRP: Reading("1.5", "3", interval_volume="0.5")},
    NOON - MINUTE: {BTC: "46002.25"},
}
TICK = heard({BTC: "46003", XRP: Reading("1.25", "4"), DOGE: "7"})
NEXT = heard({BTC: "46004", DOGE: "8"})


@pytest.fixture(params=["valkey", "redis7"])
def address(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(request.param))


@pytest.fixture
async def redis(address: str) -> AsyncIterator[Redis]:
    async with emptied(connect(address, "tests")) as client:
        yield client


@pytest.fixture
async def proxy(address: str, tmp_path: Path) -> AsyncIterator[Proxy]:
    async with proxying(address, tmp_path / "proxy.sock") as proxy:
        yield proxy


async def before(redis: Redis) -> Writer:
    await redis.flushdb()
    store = Writer(redis)
    await store.open()
    await play(store, BEFORE)
    return store


async def undisturbed(redis: Redis) -> tuple[dict, dict]:
    """Return what an undisturbed run leaves after the tick, and after the one that follows it."""
    store = await before(redis)
    await commit_tick(NOON, TICK, store)
    first = await dump(redis)
    await commit_tick(NOON + MINUTE, NEXT, store)
    return first, await dump(redis)


async def cut_tick(proxy: Proxy, after: int) -> bool:
    """Commit the tick through a connection that ends after so many bytes of it; return whether it did."""

    class CutUnit(TickUnit):
        async def commit(self, *updates, **more):
            proxy.left = after  # the cut is meant for the commit alone
            await super().commit(*updates, **more)

    class CutWriter(Writer):
        @asynccontextmanager
        async def open_tick(self, at):
            async with self.turn:
                yield CutUnit(at, self)

    proxy.left = None
    async with connect(proxy.address, "cut", answer_seconds=5) as client:
        store = CutWriter(client)
        await store.open()
        try:
            await commit_tick(NOON, TICK, store)
        except StoreAway:
            return True
        return False


async def see_that_nothing_is_half_written(redis: Redis) -> set[Metric]:
    """See that each metric is wholly at the tick or wholly before it; return those that are at it."""
    report = await Verifier(redis).verify(repair=False)
    assert report.moments == []
    metrics = [BTC, ETH, XRP, DOGE]
    records = dict(zip(metrics, await Writer(redis).read_metric_states(metrics), strict=True))
    at_it = {metric for metric, record in records.items() if record and record.at == NOON}
    for metric, record in records.items():
        samples = await Writer(redis).read_samples(metric, NOON - DAY - HOUR, NOON + HOUR)
        assert (NOON in [each.tick for each in samples]) == (metric in TICK and metric in at_it)
        assert all(each.tick > NOON - DAY for each in samples) or metric not in at_it
        assert bool(samples) == (record is not None)
    return at_it


@pytest.mark.parametrize(
    "at_once, states",
    [
        (1, [frozenset(), frozenset({BTC}), frozenset({BTC, DOGE}), frozenset({BTC, DOGE, XRP})]),
        (25, [frozenset(), frozenset({BTC, DOGE, XRP})]),
    ],
    ids=["each metric by itself", "all metrics by one call"],
)
async def test_a_connection_cut_at_any_byte_leaves_nothing_half_written(
    redis: Redis, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, at_once: int, states: list[frozenset[Metric]]
):
    monkeypatch.setattr(commands, "METRICS_AT_ONCE", at_once)
    first, second = await undisturbed(redis)
    seen, ended = set(), False
    text = len(COMMIT_METRICS.text)  # the first call brings it
    for after in [0, *range(text, text + 3000, 97), *range(text + 3000, 1_000_000, 997)]:
        await before(redis)

        ended = not await cut_tick(proxy, after)

        seen.add(frozenset(await see_that_nothing_is_half_written(redis)))
        store = Writer(redis)
        await store.open()
        await commit_tick(NOON, TICK, store)
        assert await dump(redis) == first
        await commit_tick(NOON + MINUTE, NEXT, store)
        assert await dump(redis) == second
        if ended:
            break

    assert ended
    assert seen == {*states}


async def test_a_worker_that_goes_on_after_a_cut_completes_the_tick_itself(redis: Redis, proxy: Proxy):
    first, second = await undisturbed(redis)
    for after in range(0, 3000, 211):
        await before(redis)
        async with connect(proxy.address, "cut", answer_seconds=5) as client:
            proxy.left = None
            store = Writer(client)
            await store.open()
            found = await read_states(store, NOON, sorted(store.session.known_metrics | TICK.keys()))
            proxy.left = after
            with pytest.raises(StoreAway):
                await commit_tick(NOON, TICK, store)
            assert found
            proxy.left = None

            await commit_tick(NOON, TICK, store)
            assert await dump(redis) == first
            await commit_tick(NOON + MINUTE, NEXT, store)

        assert await dump(redis) == second


async def test_late_samples_cut_off_at_any_byte_are_all_there_or_none(redis: Redis, proxy: Proxy):
    late = [sample(NOON - 5 * HOUR + index * 1200, f"{index}.5") for index in range(10)]
    taken = set()
    for after in count(0, 97):
        await before(redis)
        async with connect(proxy.address, "cut", answer_seconds=5) as client:
            proxy.left = None
            store = Writer(client)
            await store.open()
            samples = store.read_samples

            async def samples_then_cut(*asked, samples=samples, after=after):
                answer = await samples(*asked)
                proxy.left = after
                return answer

            store.read_samples = samples_then_cut  # type: ignore[method-assign]  # the cut is meant for the writing alone
            try:
                await store.insert_samples(BTC, late, "candles", NOON - MINUTE)
            except StoreAway:
                ended = False
            else:
                ended = True

        report = await Verifier(redis).verify(repair=False)
        assert report.moments == []
        taken.add(len(await Writer(redis).read_samples(BTC, NOON - 6 * HOUR, NOON - 61 * MINUTE)))
        if ended:
            break

    assert taken == {0, 10}


async def test_commands_cut_off_in_process_are_what_a_cut_connection_leaves(fake: Redis):
    """Holds the twin for fakeredis, which the model-based test uses, to the same promises."""
    first, second = await undisturbed(fake)
    for after in [*range(40), *range(40, 140, 19)]:
        await before(fake)
        store = CutOff(fake)
        await store.open()
        store.after = after
        with pytest.raises(StoreAway):
            await commit_tick(NOON, TICK, store)
        await see_that_nothing_is_half_written(fake)

        await commit_tick(NOON, TICK, store)
        assert await dump(fake) == first
        await commit_tick(NOON + MINUTE, NEXT, store)

        assert await dump(fake) == second


async def test_a_metric_that_was_over_in_a_cut_off_tick_is_forgotten_and_slows_no_later_tick(fake: Redis):
    await before(fake)
    store = CutOff(fake)
    await store.open()
    store.before = keys.METRICS  # all transactions are through, also that of ETH, which is over
    with pytest.raises(StoreAway):
        await commit_tick(NOON, TICK, store)
    assert not await fake.exists(keys.moments(ETH))
    assert ETH in await store.read_metrics()

    await commit_tick(NOON, TICK, store)

    assert ETH not in store.session.known_metrics
    assert ETH not in await store.read_metrics()
    asked = await _commands_of_a_tick(fake, store)
    assert asked <= await _commands_of_a_tick(fake, await _reopened(fake))


async def _reopened(redis: Redis) -> Writer:
    store = Writer(redis)
    await store.open()
    return store


async def _commands_of_a_tick(redis: Redis, store: Writer) -> int:
    pipes = []

    class Counting(Writer):
        async def _run(self, pipe):
            pipes.append(len(pipe.command_stack))
            return await super()._run(pipe)

    counting = Counting(redis)
    counting.session = deepcopy(store.session)
    await read_states(counting, NOON + MINUTE, sorted(counting.session.known_metrics))
    return sum(pipes)
