"""What the store promises, on every kind of server: ticks, trims, repetitions, late samples, ends of keys."""

import asyncio
from collections.abc import Mapping
from typing import cast

import pytest
from redis.asyncio import Redis

from tests.support import naive
from tests.support.cluster import ON_ONE_NODE
from tests.support.ledger import BTC, DOGE, ETH, SOURCE, XRP, Ledger, dump, heard, play
from tests.support.serving import MINUTE, NOON, every_minute, sample
from v1.model import DAY, HOUR, MEASURES, By, Measure, Metric, Reading, Sample, find_hour
from v1.store import Reader, Writer, keys
from worker.sampling.tick import commit_tick

STEP = 40 * MINUTE
WHOLE_DAY = 36


async def play_both(store: Writer, ledger: Ledger, ticks: Mapping[int, Mapping[Metric, Reading]]) -> None:
    await play(store, ticks)
    for at, market in ticks.items():
        ledger.tick(at, market)


def market(count: int, until: int = NOON) -> dict[int, dict[Metric, Reading]]:
    """Make a market of three metrics that never says the same twice, at ticks 40 minutes apart."""
    return {
        until - index * STEP: {
            BTC: Reading(f"465{index:02}.17", str(index), interval_volume=f"0.{index:03}"),
            ETH: Reading(f"{index}e-9", change_percentage=f"-{index}.5", change_absolute="0"),
            XRP: Reading("1.5"),
        }
        for index in reversed(range(count))
    }


async def test_an_empty_store_knows_nothing(redis: Redis):
    reader = Reader(redis)

    assert await reader.read_tick() is None
    assert await reader.read_metrics() == {}
    assert await reader.read_metric_states([BTC]) == [None]
    assert await reader.read_newest(BTC) is None
    assert await reader.read_samples(BTC, NOON - DAY, NOON) == []
    assert await reader.read_source_states() == {}


async def test_a_tick_without_anything_is_a_tick(store: Writer, redis: Redis):
    await store.open()

    assert await commit_tick(NOON, {}, store) == 0

    assert await store.read_tick() == NOON
    assert set(await dump(redis)) == {keys.FORMAT, keys.TICK, keys.EVENTS}


async def test_a_tick_leaves_its_samples_and_all_that_follows_from_them(store: Writer, redis: Redis, ledger: Ledger):
    await store.open()

    await play_both(store, ledger, market(7))

    await ledger.look_at(redis)


async def test_a_day_that_slides_on_for_a_day_is_always_the_last_24_hours(store: Writer, redis: Redis, ledger: Ledger):
    await store.open()

    await play_both(store, ledger, market(2 * WHOLE_DAY))

    await ledger.look_at(redis)
    assert len(ledger.days[BTC]) == WHOLE_DAY


async def test_the_digits_of_a_reading_come_back_from_the_store(store: Writer, redis: Redis):
    await store.open()

    await play(store, {NOON: {BTC: Reading("46572.17000", "1e3", "-0.10", None, "0")}})

    assert await Reader(redis).read_members(BTC, NOON - 1, NOON) == [
        (NOON - HOUR, ["[3600,46572.17000,1e3,-0.10,null,0,null]"])
    ]
    assert await Reader(redis).read_samples(BTC, NOON - 1, NOON) == [
        Sample(NOON, ("46572.17000", "1e3", "-0.10", None, "0", None))
    ]


async def test_the_day_is_trimmed_to_the_second(store: Writer, redis: Redis):
    await store.open()

    await play(store, {NOON - DAY: {BTC: "1"}, NOON - DAY + 1: {BTC: "2"}, NOON - 1: {BTC: "3"}, NOON: {}})

    held = [key async for key in redis.scan_iter("v1:samples:*")]
    hours = [await redis.zrange(key, 0, -1, withscores=True) for key in held]
    assert sorted(score for hour in hours for _, score in cast("list[tuple[str, float]]", hour)) == [
        NOON - DAY + 1,
        NOON - 1,
    ]


async def test_samples_are_asked_for_after_one_tick_and_until_another(store: Writer, redis: Redis):
    await store.open()
    await play(store, {NOON + offset: {BTC: "1"} for offset in (-HOUR, -1, 0, 1, HOUR)})
    reader = Reader(redis)

    assert [each.tick for each in await reader.read_samples(BTC, NOON - HOUR, NOON)] == [NOON - 1, NOON]
    assert [each.tick for each in await reader.read_samples(BTC, NOON - 1, NOON + HOUR)] == [
        NOON,
        NOON + 1,
        NOON + HOUR,
    ]


async def test_the_newest_sample_comes_with_its_record(store: Writer, redis: Redis):
    await store.open()
    await play(store, {NOON - MINUTE: {BTC: Reading("1.50", provider_time=NOON - 65)}, NOON: {ETH: "2"}})

    newest = await Reader(redis).read_newest(BTC)

    assert newest
    assert newest.sample == sample(NOON - MINUTE, "1.50")
    assert newest.record[:6] == (NOON, NOON - MINUTE, "1.50", None, SOURCE, NOON - 65)


async def test_a_list_of_metrics_says_when_each_began(store: Writer, redis: Redis):
    await store.open()
    await play(store, market(WHOLE_DAY))
    await play(store, {NOON + MINUTE: {DOGE: "1"}, NOON + 2 * MINUTE: {DOGE: "2"}})

    listed = await Reader(redis).read_summaries([DOGE, BTC, Metric("NO:SUCH")])

    assert [(each.metric, each.first) for each in listed] == [
        (DOGE, NOON + MINUTE),
        (BTC, NOON - (WHOLE_DAY - 1) * STEP),
    ]


async def test_the_same_tick_twice_is_one_tick(store: Writer, redis: Redis):
    await store.open()
    ticks = market(WHOLE_DAY + 2)
    await play(store, ticks)
    once = await dump(redis)

    await commit_tick(NOON, heard(ticks[NOON]), store)
    twice = await dump(redis)
    reopened = Writer(redis)
    await reopened.open()
    await commit_tick(NOON, heard(ticks[NOON]), reopened)

    assert twice == once
    assert await dump(redis) == once


async def test_a_corrected_sample_takes_the_place_of_the_first_everywhere(store: Writer, redis: Redis, ledger: Ledger):
    await store.open()
    await play_both(store, ledger, market(WHOLE_DAY + 1))
    bad = {BTC: Reading("1e9"), ETH: Reading("0.000000000000000001", "5")}

    await play_both(store, ledger, {NOON + STEP: bad})
    await play_both(store, ledger, {NOON + STEP: {BTC: Reading("46500.17"), ETH: Reading("1e-9", "7")}})

    await ledger.look_at(redis)
    assert [each.tick for each in await store.read_samples(BTC, NOON, NOON + DAY)] == [NOON + STEP]


@ON_ONE_NODE
async def test_a_correction_within_the_same_digits_leaves_no_trace_of_what_it_corrects(store: Writer, redis: Redis):
    await store.open()
    await play(store, {NOON - MINUTE: {BTC: "46000.00"}, NOON: {BTC: "46500.00"}})
    right = await dump(redis)

    await redis.flushdb()
    again = Writer(redis)
    await again.open()
    await play(again, {NOON - MINUTE: {BTC: "46000.00"}, NOON: {BTC: "10.00"}})
    await play(again, {NOON: {BTC: "46500.00"}})

    assert await dump(redis) == right


async def test_a_tick_repeated_without_a_reading_keeps_the_sample(store: Writer, redis: Redis, ledger: Ledger):
    await store.open()
    await play_both(store, ledger, market(5))
    before = await dump(redis)

    await commit_tick(NOON, {}, store)

    assert await dump(redis) == before


async def test_a_metric_that_stopped_is_ranked_for_a_day_and_leaves_no_key_behind(
    store: Writer, redis: Redis, ledger: Ledger
):
    await store.open()
    await play_both(store, ledger, market(3))
    last = {NOON + index * STEP: {BTC: Reading(str(index))} for index in range(1, WHOLE_DAY)}

    await play_both(store, ledger, last)
    await ledger.look_at(redis)
    assert set(await store.read_metrics()) == {BTC, ETH, XRP}
    await play_both(store, ledger, {NOON + DAY: {BTC: Reading("7")}})

    await ledger.look_at(redis)
    assert set(await store.read_metrics()) == store.session.known_metrics == {BTC}
    assert not [key for key in await dump(redis) if ETH in key or XRP in key]


async def test_a_metric_that_comes_back_after_its_day_begins_anew(store: Writer, redis: Redis, ledger: Ledger):
    await store.open()
    await play_both(store, ledger, {NOON - HOUR: {BTC: Reading("5")}, NOON: {BTC: Reading("6"), ETH: Reading("1")}})
    await play_both(store, ledger, {NOON + DAY - 1: {ETH: Reading("1")}, NOON + DAY: {ETH: Reading("1")}})

    await play_both(store, ledger, {NOON + DAY + MINUTE: {BTC: Reading("9")}})

    await ledger.look_at(redis)
    newest = await store.read_newest(BTC)
    assert newest
    assert newest.sample == sample(NOON + DAY + MINUTE, "9")


@pytest.mark.parametrize(
    "hours, restarted",
    [
        pytest.param(3, False, id="3 hours"),
        pytest.param(3, True, id="3 hours, another worker"),
        pytest.param(24, False, id="a day to the second"),
        pytest.param(30, False, id="30 hours"),
        pytest.param(30, True, id="30 hours, another worker"),
    ],
)
async def test_after_an_outage_the_day_is_what_is_left_of_it(
    store: Writer, redis: Redis, ledger: Ledger, hours: int, restarted: bool
):
    await store.open()
    await play_both(store, ledger, market(WHOLE_DAY + 4))
    if restarted:
        store = Writer(redis)
        await store.open()
    back = NOON + hours * HOUR

    await play_both(store, ledger, {back: {BTC: Reading("46000"), DOGE: Reading("0.5")}})
    await ledger.look_at(redis)
    await play_both(store, ledger, {back + STEP: {BTC: Reading("46001.5"), ETH: Reading("0.5")}})

    await ledger.look_at(redis)


@ON_ONE_NODE
async def test_an_emptied_redis_is_filled_again_by_the_worker_that_runs(store: Writer, redis: Redis, ledger: Ledger):
    await store.open()
    await play_both(store, ledger, market(8))

    await redis.flushdb()
    ledger.empty()
    await play_both(store, ledger, {NOON + STEP: {BTC: Reading("5"), DOGE: Reading("6")}})
    await ledger.look_at(redis)
    await play_both(store, ledger, {NOON + 2 * STEP: {BTC: Reading("7"), ETH: Reading("8")}})

    await ledger.look_at(redis)
    assert store.session.known_metrics == {BTC, ETH, DOGE}


async def test_a_redis_emptied_in_an_outage_of_30_hours_is_filled_again(store: Writer, redis: Redis, ledger: Ledger):
    await store.open()
    await play(store, market(WHOLE_DAY + 4))
    await redis.flushdb()

    await store.open()
    await play_both(store, ledger, market(4, NOON + 30 * HOUR))

    await ledger.look_at(redis)


async def test_late_samples_inside_the_day_are_taken_in(store: Writer, redis: Redis, ledger: Ledger):
    await store.open()
    await play_both(store, ledger, market(8))
    late = [*every_minute(["7.5", "1e9", "0.01"], NOON - 5 * HOUR, volume="3"), sample(NOON - 7 * MINUTE, "46500")]

    assert await store.insert_samples(BTC, late, "candles", NOON) == 4
    ledger.insert(BTC, late, NOON)
    await store.update_rankings(NOON)

    await ledger.look_at(redis)


async def test_late_samples_leave_the_day_again_when_their_time_is_over(store: Writer, redis: Redis, ledger: Ledger):
    await store.open()
    await play_both(store, ledger, market(3))
    late = [sample(NOON - DAY + STEP + index * STEP, str(index), interval_volume="2") for index in range(40)]
    await store.insert_samples(BTC, late, "candles", NOON)
    ledger.insert(BTC, late, NOON)

    await play_both(store, ledger, {NOON + STEP: {BTC: Reading("46000")}, NOON + 5 * HOUR: {ETH: Reading("1")}})

    await ledger.look_at(redis)


async def test_samples_outside_the_day_are_not_taken_in(store: Writer, redis: Redis, ledger: Ledger):
    await store.open()
    await play_both(store, ledger, market(8))
    outside = [sample(NOON - DAY - 1, "1"), sample(NOON - DAY, "2"), sample(NOON + 1, "3"), sample(NOON + DAY, "4")]
    before = await dump(redis)

    assert await store.insert_samples(BTC, outside, "candles", NOON) == 0

    assert await dump(redis) == before


async def test_the_first_second_of_the_day_and_the_tick_itself_are_inside(store: Writer, redis: Redis, ledger: Ledger):
    await store.open()
    await play_both(store, ledger, {NOON - MINUTE: {BTC: Reading("1")}, NOON: {ETH: Reading("1")}})
    inside = [sample(NOON - DAY + 1, "2"), sample(NOON, "3")]

    assert await store.insert_samples(BTC, inside, "candles", NOON) == 2
    ledger.insert(BTC, inside, NOON)
    await store.update_rankings(NOON)

    await ledger.look_at(redis)


async def test_a_late_sample_does_not_overwrite_what_is_there_unless_told_so(
    store: Writer, redis: Redis, ledger: Ledger
):
    await store.open()
    await play_both(store, ledger, market(8))
    late = [sample(NOON - STEP, "7"), sample(NOON - 2 * STEP, "8"), sample(NOON - MINUTE, "9")]

    assert await store.insert_samples(BTC, late[:2], "candles", NOON) == 0
    assert await store.insert_samples(BTC, late, "candles", NOON) == 1
    ledger.insert(BTC, late, NOON)
    await ledger.look_at_samples(redis)
    assert await store.insert_samples(BTC, late, "candles", NOON, replace={NOON - STEP, NOON - 2 * STEP}) == 2
    ledger.insert(BTC, late, NOON, replace=True)
    await store.update_rankings(NOON)

    await ledger.look_at(redis)


async def test_late_samples_of_a_metric_that_is_new_make_it_known(store: Writer, redis: Redis, ledger: Ledger):
    await store.open()
    late = every_minute(["1", "2", "4"], NOON - HOUR)

    assert await store.insert_samples(DOGE, late, "candles", NOON) == 3
    ledger.insert(DOGE, late, NOON)
    await store.update_rankings(NOON)
    ledger.newest = NOON
    await ledger.look_at(redis)
    await play_both(store, ledger, {NOON + MINUTE: {BTC: Reading("1")}})

    await ledger.look_at(redis)
    newest = await store.read_newest(DOGE)
    assert newest
    assert newest.record.source == "candles"


async def test_late_samples_make_no_metric_look_older_than_it_is(store: Writer):
    await store.open()
    await play(store, {NOON: {BTC: "1"}})

    await store.insert_samples(BTC, [sample(NOON - HOUR, "7")], "candles", NOON)

    assert await store.read_metrics() == {BTC: NOON}


async def test_a_metric_that_a_fill_found_behind_the_newest_tick_is_moved_by_the_next_worker_too(
    store: Writer, redis: Redis, ledger: Ledger
):
    """A fill takes minutes and ticks go on meanwhile, so a new metric's record may begin at an older tick."""
    await store.open()
    await play_both(store, ledger, market(10))
    began = NOON - 8 * STEP
    late = [sample(began - index * STEP, str(index)) for index in range(WHOLE_DAY - 1)]
    await store.insert_samples(DOGE, late, "candles", began)
    ledger.insert(DOGE, late, began)

    store = Writer(redis)
    await store.open()
    await play_both(store, ledger, {NOON + STEP: {BTC: Reading("1")}})

    await ledger.look_at(redis)


@pytest.mark.parametrize("left", [None, "not a record"], ids=["evicted", "unreadable"])
async def test_moments_that_are_lost_are_counted_again_out_of_the_samples(
    store: Writer, redis: Redis, ledger: Ledger, left: str | None
):
    await store.open()
    await play_both(store, ledger, market(WHOLE_DAY))
    await redis.delete(keys.moments(BTC))
    if left:
        await redis.set(keys.moments(BTC), left)

    await play_both(store, ledger, {NOON + STEP: {BTC: Reading("46600"), ETH: Reading("1")}})

    await ledger.look_at(redis)


async def test_a_metric_that_lost_its_place_in_the_index_is_right_when_it_is_heard_of_again(
    store: Writer, redis: Redis, ledger: Ledger
):
    """A worker killed between a new metric's transaction and the index leaves a record that nobody moves."""
    await store.open()
    await play_both(store, ledger, market(WHOLE_DAY))
    await redis.zrem(keys.METRICS, ETH)
    store = Writer(redis)
    await store.open()
    ledger.known.remove(ETH)
    await play_both(store, ledger, {NOON + index * STEP: {BTC: Reading("1")} for index in range(1, 9)})

    await play_both(store, ledger, {NOON + 9 * STEP: {ETH: Reading("2e-9"), BTC: Reading("2")}})

    await ledger.look_at(redis)


async def test_a_fill_that_was_cut_off_before_the_first_tick_is_counted_right(
    store: Writer, redis: Redis, ledger: Ledger
):
    await store.open()
    late = [sample(NOON - index * STEP, str(index)) for index in range(WHOLE_DAY)]
    await store.insert_samples(BTC, late, "candles", NOON)
    ledger.insert(BTC, late, NOON)

    store = Writer(redis)
    await store.open()
    await play_both(store, ledger, {NOON + 5 * STEP: {BTC: Reading("1")}})

    await ledger.look_at(redis)


async def test_samples_taken_in_while_ticks_go_on_are_counted_right(store: Writer, redis: Redis, ledger: Ledger):
    await store.open()
    await play_both(store, ledger, {NOON: {BTC: Reading("1"), DOGE: Reading("1")}})
    late = {metric: [sample(NOON - HOUR - n * MINUTE, f"{n}.5") for n in range(60)] for metric in (BTC, DOGE)}
    ticks = {NOON + n * MINUTE: {BTC: Reading(str(n)), DOGE: Reading("7")} for n in range(1, 31)}

    async def fill(metric: Metric) -> None:
        for start in range(0, 60, 4):
            await store.insert_samples(metric, late[metric][start : start + 4], "candles", NOON)

    await asyncio.gather(play(store, ticks), fill(BTC), fill(DOGE))
    for at, market in ticks.items():
        ledger.tick(at, market)
    for metric, samples in late.items():
        ledger.insert(metric, samples, NOON)
    await store.update_rankings(NOON + 30 * MINUTE)

    await ledger.look_at(redis)


async def test_deriving_makes_an_older_tick_not_the_newest(store: Writer):
    await store.open()
    await play(store, {NOON: {BTC: "1"}})

    await store.update_rankings(NOON - MINUTE)

    assert await store.read_tick() == NOON


async def test_deriving_what_a_tick_derived_changes_nothing(store: Writer, redis: Redis):
    await store.open()
    await play(store, market(20))
    before = await dump(redis)

    await store.update_rankings(NOON)

    assert await dump(redis) == before


async def test_every_tick_is_told_to_who_listens(store: Writer, redis: Redis):
    await store.open()
    async with redis.pubsub() as listener:
        await listener.subscribe(keys.TICKS)
        await play(store, {NOON - MINUTE: {BTC: "1"}, NOON: {}})

        told = [message async for message in _first(listener, 3)]

    assert [message["data"] for message in told if message["type"] == "message"] == [str(NOON - MINUTE), str(NOON)]


async def _first(listener, count):
    for _ in range(count):
        yield await listener.get_message(timeout=60)


LIVES = {
    keys.METRICS: DAY,
    keys.EVENTS: 25 * HOUR,
    keys.samples(BTC, find_hour(NOON)): 49 * HOUR,
    keys.moments(BTC): 25 * HOUR,
    keys.rank(Measure.PRICE, By.STDDEV): DAY,
    keys.rank(Measure.VOLUME, By.CV): DAY,
    keys.mean(Measure.PRICE): DAY,
}


ETERNAL = {keys.FORMAT, keys.TICK, keys.SOURCES}


@ON_ONE_NODE
async def test_every_key_has_the_end_that_the_key_table_says(store: Writer, redis: Redis):
    await store.open()
    await play(store, market(3))
    await store.insert_samples(DOGE, [sample(NOON - HOUR, "1")], "candles", NOON)
    await store.update_rankings(NOON)
    await store.lease.take_or_keep("somebody")
    await store.write_source_states({"kraken": {"state": "ok"}})

    lives = {key: await redis.ttl(key) async for key in redis.scan_iter()}

    assert {key for key, seconds in lives.items() if seconds == -1} == ETERNAL <= keys.PERMANENT
    for key, seconds in LIVES.items():
        assert seconds - 60 <= lives[key] <= seconds
    assert 49 * HOUR - 60 <= lives[keys.samples(DOGE, find_hour(NOON - HOUR))] <= 49 * HOUR
    assert 25 * HOUR - 60 <= lives[keys.moments(DOGE)] <= 25 * HOUR
    assert 10 <= lives[keys.LEASE] <= 15


async def older(redis: Redis, seconds: int) -> None:
    """Let time pass for the server: every key is so much nearer to its end."""
    for key in [key async for key in redis.scan_iter()]:
        left = await redis.ttl(key)
        if left >= 0:
            await (redis.expire(key, left - seconds) if left > seconds else redis.delete(key))


@pytest.mark.parametrize("hours", [1, 5, 22])
async def test_after_hours_without_a_tick_what_leaves_the_day_is_still_there_to_be_taken_out_of_it(
    store: Writer, redis: Redis, ledger: Ledger, hours: int
):
    await store.open()
    for at, heard_then in market(WHOLE_DAY + 3).items():
        await play_both(store, ledger, {at: heard_then})
        await older(redis, STEP)
    again = Writer(redis)
    await again.open()

    await older(redis, hours * HOUR - STEP)
    await play_both(again, ledger, {NOON + hours * HOUR: {BTC: Reading("46500.17")}})

    await ledger.look_at(redis)


async def test_a_tick_puts_every_end_off(store: Writer, redis: Redis):
    await store.open()
    await play(store, market(3))
    for key in [key async for key in redis.scan_iter()]:
        await redis.expire(key, 100, xx=True)

    await commit_tick(NOON + MINUTE, heard({BTC: "1"}), store)

    ends = {key: await redis.ttl(key) async for key in redis.scan_iter()}
    hours_before = {key for key in ends if key.startswith("v1:samples:") and not key.endswith(f":{NOON}")}
    # Of each quarter of an hour one tick keeps its places, and they have an end of their own.
    hours_before |= {key for key in ends if key.startswith(keys.RANKED)}
    assert {key for key, seconds in ends.items() if 0 < seconds <= 100} == hours_before


async def test_what_is_said_of_sources_is_replaced_as_a_whole(store: Writer, redis: Redis):
    await store.write_source_states({"kraken": {"state": "ok"}, "binance": {"state": "failing", "reason": "said 503"}})
    await store.write_source_states({"kraken": {"state": "failing", "reason": "no answer"}})

    assert await Reader(redis).read_source_states() == {"kraken": {"state": "failing", "reason": "no answer"}}

    await store.write_source_states({})

    assert await Reader(redis).read_source_states() == {}


async def test_more_metrics_than_one_question_holds_are_answered_in_order(store: Writer):
    await store.open()
    many = {Metric(f"A:{index:04}"): str(index) for index in range(502)}

    await commit_tick(NOON, heard(many), store)
    await commit_tick(NOON + MINUTE, heard({Metric("A:0400"): "0.5"}), store)

    asked = [Metric("A:0501"), Metric("A:0400"), Metric("NO:SUCH"), Metric("A:0001")]
    assert [record and record.price for record in await store.read_metric_states(asked)] == ["501", "0.5", None, "1"]
    assert len(await store.read_metrics()) == 502


async def test_a_measure_that_nobody_knows_has_no_lists(store: Writer, redis: Redis):
    await store.open()

    await play(store, {NOON - MINUTE: {BTC: Reading("1", "5")}, NOON: {BTC: Reading("2")}})

    lists = {key async for key in redis.scan_iter() if key.startswith(("v1:rank:", "v1:mean:"))}
    assert lists == {
        "v1:rank:price:stddev",
        "v1:rank:price:cv",
        "v1:mean:price",
        "v1:rank:volume:stddev",
        "v1:rank:volume:cv",
        "v1:mean:volume",
        "v1:rank:interval_return:stddev",
        "v1:rank:interval_return:cv",
    }


async def test_a_list_that_has_lost_its_last_member_is_gone(store: Writer, redis: Redis):
    await store.open()

    await play(store, {NOON: {BTC: Reading("1", "5")}, NOON + DAY: {BTC: Reading("2")}})

    assert not await redis.exists("v1:rank:volume:stddev", "v1:rank:volume:cv", "v1:mean:volume", "v1:mean:price")
    assert naive.ranked({BTC: 0.0}) == [
        place[:3] for place in (await store.read_ranking(MEASURES[0], By.CV, 0, 9)).places
    ]
