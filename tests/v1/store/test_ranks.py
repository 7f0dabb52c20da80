"""Places among all metrics: ties, pages, one metric's own place, and that floats come back as they went."""

import math

import pytest
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import OutOfMemoryError

from tests.support import naive
from tests.support.ledger import BTC, ETH, XRP, heard, play
from tests.support.serving import MINUTE, NOON
from v1.model import By, Measure, Metric
from v1.store import Reader, Writer, commands, connect, keys
from v1.store.fence import FencedCalls
from v1.store.scripts import RUN_TOGETHER
from worker.sampling.tick import commit_tick

PRICE = keys.rank(Measure.PRICE, By.STDDEV)

# By deviation: G and F, then E, D, C, B, then A and H, then I.
SWINGS = {"A": 1, "B": 2, "C": 2, "D": 2, "E": 2, "F": 5, "G": 5, "H": 1, "I": 0}
PLACES = [("G", 1), ("F", 1), ("E", 3), ("D", 3), ("C", 3), ("B", 3), ("H", 7), ("A", 7), ("I", 9)]


@pytest.fixture
async def reader(redis: Redis) -> Reader:
    store = Writer(redis)
    await store.open()
    await play(
        store,
        {
            NOON - MINUTE: {Metric(name): f"{100 - swing}.0" for name, swing in SWINGS.items()},
            NOON: {Metric(name): f"{100 + swing}" for name, swing in SWINGS.items()},
        },
    )
    return Reader(redis)


async def test_equal_values_share_a_place_and_the_next_place_is_left_out(reader: Reader):
    ranking = await reader.read_ranking(Measure.PRICE, By.STDDEV, 0, 100)

    assert [(place.metric, place.rank) for place in ranking.places] == PLACES
    assert [place.value for place in ranking.places] == [float(SWINGS[name]) for name, _ in PLACES]
    assert {place.samples for place in ranking.places} == {2}
    assert ranking.of == 9


@pytest.mark.parametrize("limit", range(1, 10))
async def test_pages_of_any_size_join_to_the_whole_also_where_a_tie_lies_across_their_border(reader: Reader, limit):
    pages = [await reader.read_ranking(Measure.PRICE, By.STDDEV, offset, limit) for offset in range(0, 9, limit)]

    assert [(place.metric, place.rank) for page in pages for place in page.places] == PLACES
    assert {page.of for page in pages} == {9}


@pytest.mark.parametrize("offset", [9, 10, 10_000])
async def test_behind_the_last_place_there_is_nothing(reader: Reader, offset):
    assert await reader.read_ranking(Measure.PRICE, By.STDDEV, offset, 5) == ((), 9)


async def test_of_a_measure_without_numbers_there_is_no_ranking(reader: Reader):
    assert await reader.read_ranking(Measure.VOLUME, By.CV, 0, 5) == ((), 0)


@pytest.mark.parametrize("name, rank", PLACES)
async def test_a_metric_has_the_same_place_alone_and_in_the_list(reader: Reader, name, rank):
    found = await reader.read_place(Metric(name), Measure.PRICE, By.STDDEV)

    assert found == ((name, rank, float(SWINGS[name]), 2), 9)


async def test_a_metric_has_a_place_by_every_measure_it_is_ranked_by(reader: Reader):
    places = await reader.read_places(Metric("F"), [*Measure], By.CV)

    assert {measure: (place.rank, of) for measure, (place, of) in places.items()} == {
        Measure.PRICE: (1, 9),
        Measure.INTERVAL_RETURN: (1, 8),  # I's mean is zero
    }


async def test_who_is_not_ranked_has_no_place(reader: Reader):
    assert await reader.read_place(Metric("NO:SUCH"), Measure.PRICE, By.STDDEV) is None
    assert await reader.read_place(Metric("A"), Measure.VOLUME, By.STDDEV) is None


FLOATS = [
    5e-324,
    2.2250738585072014e-308,
    1e-124,
    0.1 + 0.2,
    1 / 3,
    1.0,
    1.0 + 2**-52,
    2.0**53 + 2,
    123456789012345680.0,
    1e22,
    1e23,
    9.007199254740993e15,
    1.7976931348623157e308,
]


async def test_every_float_comes_back_as_it_went(redis: Redis):
    await Writer(redis).repair.put_list(PRICE, [(value, Metric(f"A:{index:02}")) for index, value in enumerate(FLOATS)])

    ranking = await Reader(redis).read_ranking(Measure.PRICE, By.STDDEV, 0, 100)

    assert [place.value for place in ranking.places] == sorted(FLOATS, reverse=True)
    assert [place.rank for place in ranking.places] == [*range(1, len(FLOATS) + 1)]


@pytest.mark.parametrize("index", range(len(FLOATS)))
async def test_a_place_is_found_at_any_float(redis: Redis, index):
    order = sorted(FLOATS, reverse=True)
    await Writer(redis).repair.put_list(PRICE, [(value, Metric(f"A:{each:02}")) for each, value in enumerate(order)])

    assert await Reader(redis).read_place(Metric(f"A:{index:02}"), Measure.PRICE, By.STDDEV) == (
        (f"A:{index:02}", index + 1, order[index], 0),
        len(FLOATS),
    )
    (place,) = (await Reader(redis).read_ranking(Measure.PRICE, By.STDDEV, index, 1)).places
    assert place.rank == index + 1


async def test_infinity_is_a_place_like_any_other(redis: Redis):
    await Writer(redis).repair.put_list(PRICE, [(math.inf, BTC), (math.inf, ETH), (1.0, XRP)])

    ranking = await Reader(redis).read_ranking(Measure.PRICE, By.STDDEV, 0, 100)
    (second,) = (await Reader(redis).read_ranking(Measure.PRICE, By.STDDEV, 1, 1)).places

    assert [place[:3] for place in ranking.places] == [(ETH, 1, math.inf), (BTC, 1, math.inf), (XRP, 3, 1.0)]
    assert second == (BTC, 1, math.inf, 0)


async def test_the_largest_numbers_that_are_kept_have_a_finite_deviation(redis: Redis):
    store = Writer(redis)
    await store.open()
    huge, tiny = "9" * 57 + "e60", "1e-60"

    await commit_tick(NOON - MINUTE, heard({BTC: huge, ETH: tiny, XRP: f"-{huge}"}), store)
    await commit_tick(NOON, heard({BTC: f"-{huge}", ETH: "2e-60", XRP: tiny}), store)

    for by in By:
        ranking = await store.read_ranking(Measure.PRICE, by, 0, 10)
        assert all(math.isfinite(place.value) for place in ranking.places)
    assert (await store.read_ranking(Measure.PRICE, By.STDDEV, 2, 1)).places == [
        (ETH, 3, naive.root(naive.Fraction(1, 4)) * 1e-60, 2)
    ]


MANY = [(float(place % 97), Metric(f"A:{place:04}")) for place in range(250)]


async def test_a_long_list_is_put_in_place_whole_and_leaves_nothing_beside_it(redis: Redis):
    await redis.zadd(PRICE, {"A:GONE": 1.0, "A:0001": 5000.0})
    await redis.zadd(keys.staging(PRICE), {"A:OF A KILLED WORKER": 1.0})

    await Writer(redis).repair.put_list(PRICE, MANY)

    assert dict(await redis.zrange(PRICE, 0, -1, withscores=True)) == {metric: value for value, metric in MANY}
    assert 0 < await redis.ttl(PRICE) <= keys.KEEP_DERIVED
    assert not await redis.exists(keys.staging(PRICE))


def in_two(redis: Redis) -> tuple[Pipeline, Pipeline]:
    """Return the calls that rewrite the list: those that put it together, and the one that puts it in place."""
    pipe, last = redis.pipeline(transaction=False), redis.pipeline(transaction=False)
    calls = FencedCalls()
    commands.put_list(calls, PRICE, MANY)
    for command in calls.commands[:-1]:
        pipe.execute_command(*command)
    last.execute_command(*calls.commands[-1])
    return pipe, last


async def test_whoever_reads_while_a_long_list_is_written_reads_the_one_before(redis: Redis):
    await Writer(redis).repair.put_list(PRICE, MANY[:-1])
    most, _ = in_two(redis)

    await most.execute()

    assert await redis.zcard(PRICE) == len(MANY) - 1
    assert 0 < await redis.ttl(keys.staging(PRICE)) <= keys.KEEP_DERIVED


async def test_a_list_whose_beginning_was_refused_has_an_end_all_the_same(redis: Redis):
    most, last = in_two(redis)
    most.command_stack[0] = (("SCRIPT LOAD", RUN_TOGETHER.text), {})

    await most.execute()
    await last.execute()

    assert 0 < await redis.ttl(PRICE) <= keys.KEEP_DERIVED


async def test_a_server_whose_memory_gets_full_meanwhile_keeps_the_list_that_it_has(server: str):
    async with connect(server, "tests") as redis:
        await Writer(redis).repair.put_list(PRICE, MANY[:-1])
        most, last = in_two(redis)
        await most.execute()
        await redis.config_set("maxmemory", 1)
        try:
            with pytest.raises(OutOfMemoryError):
                await last.execute()
        finally:
            await redis.config_set("maxmemory", 0)

        assert await redis.zcard(PRICE) == len(MANY) - 1
