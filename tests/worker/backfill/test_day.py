import asyncio
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

import pytest
from aiohttp import ClientSession
from redis.asyncio import Redis
from structlog.testing import capture_logs

from tests.support.invented import BTC, ETH, NOON, XRP, Invented, price, volume
from v1.model import By
from worker.backfill.day import SECOND_TRY, DayFiller
from worker.latest import DAY, HOUR, MINUTE, Candle, Measure, Metric, Reading, Sample
from worker.latest.market import SourceReading
from worker.latest.store import Verifier, Writer
from worker.sampling.tick import commit_tick
from worker.sources.errors import SourceRefused, SourceUnreachable
from worker.sources.supervised import SupervisedSource

TICKS = range(NOON - DAY + MINUTE, NOON + 1, MINUTE)


class Pace:
    """Sleeps no time, and remembers how long it should have."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)


@pytest.fixture
def pace() -> Pace:
    return Pace()


def unseen(_done: int, _of: int) -> None:
    pass


async def opened(source: Invented, session: ClientSession) -> SupervisedSource:
    watched = SupervisedSource(source, session, timeout=5)
    await watched.open(NOON)
    return watched


async def live(source: Invented, store: Writer, *ticks: int) -> None:
    """Sample live, as it would have been."""
    for at in ticks:
        await commit_tick(at, {each: SourceReading(source.reading(each, at), "live") for each in source.metrics}, store)


async def day(store: Writer, metric: Metric = BTC, until: int = NOON) -> dict[int, Sample]:
    return {sample.tick: sample for sample in await store.read_samples(metric, until - DAY, until)}


async def test_an_empty_day_is_filled_and_everything_follows_from_the_samples(
    redis: Redis, session: ClientSession, pace: Pace
):
    store, source = Writer(redis), Invented(BTC, ETH)
    filler = DayFiller(await opened(source, session), store, 60, pace)

    taken = await filler.fill(NOON, unseen)
    await store.update_rankings(NOON)

    assert taken == 2 * 1440
    for metric in (BTC, ETH):
        held = await day(store, metric)
        assert list(held) == list(TICKS)
        assert all(sample.value(Measure.PRICE) == price(metric, at) for at, sample in held.items())
        assert all(sample.value(Measure.INTERVAL_VOLUME) == volume(at) for at, sample in held.items())
    assert (await Verifier(redis).verify(repair=False)).is_clean


async def test_only_the_missing_part_is_asked_for(fake: Redis, session: ClientSession, pace: Pace):
    store, source = Writer(fake), Invented(BTC)
    watched = await opened(source, session)
    await DayFiller(watched, store, 60, pace).fill(NOON, unseen)
    source.candles_asked.clear()
    await live(source, store, NOON + 300)

    taken = await DayFiller(watched, store, 60, pace).fill(NOON + 300, unseen)

    assert source.candles_asked == [(BTC, NOON, NOON + 240)]
    assert taken == 4


async def test_a_lead_is_asked_for_before_it_so_that_volume_and_change_of_24_hours_are_there(
    fake: Redis, session: ClientSession, pace: Pace
):
    store, source = Writer(fake), Invented(BTC, lead=DAY + HOUR)
    source.keeps = 3 * DAY

    await DayFiller(await opened(source, session), store, 60, pace).fill(NOON, unseen)

    assert source.candles_asked == [(BTC, NOON - 2 * DAY - HOUR, NOON)]
    for at, sample in list((await day(store)).items())[::97]:
        traded = sum(Fraction(volume(minute)) for minute in range(at - DAY + MINUTE, at + 1, MINUTE))
        change = Fraction(price(BTC, at)) - Fraction(price(BTC, at - DAY))
        assert Fraction(sample.value(Measure.VOLUME)) == traded
        assert Fraction(sample.value(Measure.CHANGE_ABSOLUTE)) == change


async def test_a_metric_whose_day_is_whole_costs_no_call(fake: Redis, session: ClientSession, pace: Pace):
    store, source = Writer(fake), Invented(BTC, ETH)
    watched = await opened(source, session)
    await DayFiller(watched, store, 60, pace).fill(NOON, unseen)
    source.candles_asked.clear()
    pace.slept.clear()

    taken = await DayFiller(watched, store, 60, pace).fill(NOON, unseen)

    assert (taken, source.candles_asked, pace.slept) == (0, [], [])


async def test_nor_does_one_that_live_ticks_have_moved_on_since(fake: Redis, session: ClientSession, pace: Pace):
    store, source = Writer(fake), Invented(BTC)
    watched = await opened(source, session)
    await DayFiller(watched, store, 60, pace).fill(NOON, unseen)
    await live(source, store, NOON + 60, NOON + 120)
    source.candles_asked.clear()

    await DayFiller(watched, store, 60, pace).fill(NOON, unseen)

    assert source.candles_asked == []


@pytest.mark.parametrize("interval", [5, 60, 90, 300])
async def test_a_whole_day_is_recognised_at_every_interval(fake: Redis, session: ClientSession, pace: Pace, interval):
    store, source = Writer(fake), Invented(BTC)
    watched = await opened(source, session)
    ticks = range(NOON - DAY + interval, NOON + 1, interval)
    await store.insert_samples(BTC, [Sample(at, (price(BTC, at), "1", *[None] * 4)) for at in ticks], "live", NOON)

    taken = await DayFiller(watched, store, interval, pace).fill(NOON, unseen)

    assert (taken, source.candles_asked) == (0, [])


async def test_a_return_is_since_an_hourly_price_out_of_the_archive_where_no_candle_takes_its_place(
    fake: Redis, session: ClientSession, pace: Pace
):
    store, source = Writer(fake), Invented(BTC)
    source.keeps = 30 * MINUTE
    hour = NOON - 30 * MINUTE - (NOON - 30 * MINUTE) % HOUR
    await store.insert_samples(BTC, [Sample(hour, ("7", *[None] * 5))], "archive", NOON)

    await DayFiller(await opened(source, session), store, 60, pace).fill(NOON, unseen)

    (bare, first, *_) = (await day(store)).values()
    now = Fraction(first.value(Measure.PRICE) or "")
    assert (bare.tick, bare.value(Measure.PRICE)) == (hour, "7")
    assert Fraction(first.value(Measure.INTERVAL_RETURN) or "") == round((now - 7) * 100 / 7, 4)


async def test_a_day_of_nothing_but_hourly_prices_out_of_the_archive_is_not_whole(
    fake: Redis, session: ClientSession, pace: Pace
):
    store, source = Writer(fake), Invented(BTC)
    watched = await opened(source, session)
    hours = range(NOON - DAY + HOUR, NOON + 1, HOUR)
    await store.insert_samples(BTC, [Sample(at, ("7", *[None] * 5)) for at in hours], "archive", NOON)

    await DayFiller(watched, store, HOUR, pace).fill(NOON, unseen)

    after = await day(store)
    assert [after[at].value(Measure.PRICE) for at in hours] == [price(BTC, at) for at in hours]


async def test_what_is_there_is_never_overwritten(store: Writer, session: ClientSession, pace: Pace):
    source = Invented(BTC)
    watched = await opened(source, session)
    ours = Reading("77.7", volume="1", interval_volume="2")
    await commit_tick(NOON - 120, {BTC: SourceReading(ours, "live")}, store)
    await commit_tick(NOON, {}, store)
    before = await day(store)

    await DayFiller(watched, store, 60, pace).fill(NOON, unseen)
    after = await day(store)

    assert len(after) == 1440
    assert after[NOON - 120] == before[NOON - 120]


async def test_returns_are_since_the_sample_before_be_it_filled_or_live(
    fake: Redis, session: ClientSession, pace: Pace
):
    """The live price of a tick may differ from the close of the minute that ended at it."""
    store, source = Writer(fake), Invented(BTC)
    watched = await opened(source, session)
    await commit_tick(NOON - 240, {BTC: SourceReading(Reading("50"), "live")}, store)
    await commit_tick(NOON, {}, store)

    source.keeps = 4 * MINUTE
    await DayFiller(watched, store, 60, pace).fill(NOON, unseen)

    held = await day(store)
    assert list(held) == list(range(NOON - 240, NOON + 1, MINUTE))
    for at in list(held)[1:]:
        now, then = Fraction(price(BTC, at)), Fraction(held[at - MINUTE].value(Measure.PRICE))
        assert Fraction(held[at].value(Measure.INTERVAL_RETURN)) == round((now - then) * 100 / then, 4)


async def test_where_the_provider_keeps_less_the_rest_stays_a_hole(fake: Redis, session: ClientSession, pace: Pace):
    store, source = Writer(fake), Invented(BTC)
    source.keeps = 12 * HOUR
    source.holes = {NOON - HOUR, NOON - HOUR + 60}

    taken = await DayFiller(await opened(source, session), store, 60, pace).fill(NOON, unseen)

    assert set(await day(store)) == set(TICKS[-720:]) - source.holes
    assert taken == 718


async def test_the_provider_is_asked_one_call_after_the_other_at_its_pace(
    fake: Redis, session: ClientSession, pace: Pace
):
    source = Invented(BTC, ETH, XRP)

    await DayFiller(await opened(source, session), Writer(fake), 60, pace).fill(NOON, unseen)

    assert [metric for metric, _, _ in source.candles_asked] == [BTC, ETH, XRP]
    assert pace.slept == [1.0, 1.0, 1.0]


async def test_a_failure_skips_one_metric_and_it_is_tried_once_more_at_the_end(
    fake: Redis, session: ClientSession, pace: Pace
):
    store, source = Writer(fake), Invented(BTC, ETH, XRP)
    source.candle_trouble[ETH] = [SourceUnreachable("no answer")]

    with capture_logs() as logs:
        taken = await DayFiller(await opened(source, session), store, 60, pace).fill(NOON, unseen)

    assert [metric for metric, _, _ in source.candles_asked] == [BTC, ETH, XRP, ETH]
    assert SECOND_TRY in pace.slept
    assert taken == 3 * 1440
    assert [entry["metric"] for entry in logs if entry["event"] == "no candles"] == [ETH]


async def test_a_metric_that_fails_again_is_left_as_it_is(fake: Redis, session: ClientSession, pace: Pace):
    store, source = Writer(fake), Invented(BTC, ETH)
    source.candle_trouble[BTC] = [SourceUnreachable("no answer"), SourceUnreachable("no answer")]

    taken = await DayFiller(await opened(source, session), store, 60, pace).fill(NOON, unseen)

    assert taken == 1440
    assert await day(store, BTC) == {}


async def test_the_same_reason_is_not_told_for_every_metric(fake: Redis, session: ClientSession, pace: Pace):
    source = Invented(BTC, ETH, XRP)
    watched = await opened(source, session)
    source.trouble = SourceUnreachable("no answer")

    with capture_logs() as logs:
        await DayFiller(watched, Writer(fake), 60, pace).fill(NOON, unseen)

    assert [(entry["event"], entry["reason"]) for entry in logs] == [("no candles", "no answer")] * 2
    assert len(source.candles_asked) == 6


async def test_a_provider_that_asks_us_to_stay_away_is_left_alone_so_long(
    fake: Redis, session: ClientSession, pace: Pace
):
    source = Invented(BTC, ETH)
    source.candle_trouble[BTC] = [SourceRefused("invented said 429", wait=37)]

    await DayFiller(await opened(source, session), Writer(fake), 60, pace).fill(NOON, unseen)

    assert pace.slept == [37, 1.0, SECOND_TRY, 1.0]


async def test_live_ticks_go_on_meanwhile_and_nothing_is_lost_or_twice(redis: Redis, session: ClientSession):
    store, source = Writer(redis), Invented(BTC, ETH)
    ticks = iter(range(NOON + 60, NOON + 3 * 60, 60))

    async def tick_meanwhile(_seconds: float) -> None:
        await live(source, store, next(ticks))

    taken = await DayFiller(await opened(source, session), store, 60, tick_meanwhile).fill(NOON, unseen)

    assert taken == 2 * 1440 - 1  # ETH's day had moved on by a minute when its turn came
    for metric in (BTC, ETH):
        assert list(await day(store, metric, NOON + 120)) == list(range(NOON - DAY + 180, NOON + 121, 60))
    assert (await Verifier(redis).verify(repair=False)).is_clean


async def test_stopped_in_the_middle_it_leaves_ranks_that_follow_from_what_had_come(
    redis: Redis, session: ClientSession, pace: Pace
):
    store, source = Writer(redis), Invented(BTC, ETH, XRP)
    filler = DayFiller(await opened(source, session), store, 60, pace)
    halfway = asyncio.Event()

    def seen(_done: int, _of: int) -> None:
        source.gate.clear()
        halfway.set()

    filling = asyncio.create_task(filler.fill(NOON, seen))
    await halfway.wait()
    filling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await filling

    assert len(await day(store)) == 1440
    assert (await Verifier(redis).verify(repair=False)).is_clean


async def test_it_says_how_far_it_is(fake: Redis, session: ClientSession, pace: Pace):
    said = []

    filler = DayFiller(await opened(Invented(BTC, ETH, XRP), session), Writer(fake), 60, pace)
    await filler.fill(NOON, lambda done, of: said.append((done, of)))

    assert said == [(1, 3), (2, 3), (3, 3)]


async def test_a_source_without_metrics_has_nothing_to_fill(fake: Redis, session: ClientSession, pace: Pace):
    taken = await DayFiller(await opened(Invented(), session), Writer(fake), 60, pace).fill(NOON, unseen)

    assert taken == 0


async def test_five_candles_make_a_sample_at_300_seconds(fake: Redis, session: ClientSession, pace: Pace):
    store, source = Writer(fake), Invented(BTC)

    await DayFiller(await opened(source, session), store, 300, pace).fill(NOON, unseen)

    held = await day(store)
    assert list(held) == list(range(NOON - DAY + 300, NOON + 1, 300))
    for at, sample in held.items():
        traded = sum(Fraction(volume(minute)) for minute in range(at - 240, at + 1, MINUTE))
        assert Fraction(sample.value(Measure.INTERVAL_VOLUME)) == traded
        assert sample.value(Measure.PRICE) == price(BTC, at)


async def test_a_longer_sample_is_not_made_of_less_than_all_its_minutes_at_either_end(
    fake: Redis, session: ClientSession, pace: Pace
):
    store, source = Writer(fake), Invented(BTC)
    source.keeps = 13 * MINUTE
    source.holes = {NOON}

    await DayFiller(await opened(source, session), store, 300, pace).fill(NOON, unseen)

    assert list(await day(store)) == [NOON - 300]


async def test_below_a_minute_a_candle_fills_only_where_its_whole_minute_is_missing(
    fake: Redis, session: ClientSession, pace: Pace
):
    """Elsewhere its volume would be counted once more than it was traded."""
    store, source = Writer(fake), Invented(BTC)
    watched = await opened(source, session)
    await live(source, store, *range(NOON - 300, NOON - 220, 5), *range(NOON - 100, NOON + 1, 5))
    before = await day(store)

    source.keeps = 10 * MINUTE
    await DayFiller(watched, store, 5, pace).fill(NOON, unseen)

    filled = set(await day(store)) - set(before)
    assert filled == {NOON - 120, *range(NOON - 600, NOON - 300, MINUTE)}


async def test_no_candles_at_all_are_no_failure(fake: Redis, session: ClientSession, pace: Pace):
    source = Invented(BTC)
    source.keeps = 0

    with capture_logs() as logs:
        taken = await DayFiller(await opened(source, session), Writer(fake), 60, pace).fill(NOON, unseen)

    assert taken == 0
    assert not [entry for entry in logs if entry["log_level"] == "warning"]


@pytest.mark.parametrize("count, ranked", [(1, 1), (2, 2), (3, 2)])
async def test_a_first_day_is_ranked_while_it_fills_and_whole_once_all_is_derived(
    fake: Redis, session: ClientSession, pace: Pace, count: int, ranked: int
):
    store, source = Writer(fake), Invented(*(BTC, ETH, XRP)[:count])
    await DayFiller(await opened(source, session), store, 60, pace).fill(NOON, unseen)

    assert (await store.read_ranking(Measure.PRICE, By.STDDEV, 0, 10)).of == ranked

    await store.update_rankings(NOON)
    assert (await Verifier(fake).verify(repair=False)).is_clean
    assert (await store.read_tick()) == NOON


def test_a_candle_and_a_reading_of_the_made_up_provider_agree():
    """The tests above lean on it."""
    close = price(BTC, NOON + 60)
    candle = Candle(NOON, close, close, close, close, volume(NOON + 60))

    reading = Invented(BTC).reading(BTC, NOON + 60)

    assert (candle.close, candle.volume) == (reading.price, reading.interval_volume)


class Ranged(Invented):
    """Its candles open above their close, and reach a quarter above and a half below it."""

    async def fetch_candles(self, session: ClientSession, metric: Metric, start: int, end: int) -> Sequence[Candle]:
        flat = await super().fetch_candles(session, metric, start, end)
        return [widened(each) for each in flat]


def widened(flat: Candle) -> Candle:
    opened, high, low = (str(Decimal(flat.close) * Decimal(by)) for by in ("1.125", "1.25", "0.5"))
    return flat._replace(open=opened, high=high, low=low)


async def test_highs_and_lows_of_filled_minutes_are_kept_beside_the_samples(
    redis: Redis, session: ClientSession, pace: Pace
):
    store, source = Writer(redis), Ranged(BTC)
    watched = await opened(source, session)
    await live(source, store, NOON - 120, NOON)

    await DayFiller(watched, store, 60, pace).fill(NOON, unseen)

    ranges = await store.read_ranges(BTC, NOON - DAY, NOON)
    assert sorted(ranges) == [at for at in TICKS if at not in {NOON - 120, NOON}]
    for at, found in ranges.items():
        close = price(BTC, at)
        expected = widened(Candle(at - MINUTE, close, close, close, close, volume(at)))
        assert found == (expected.open, expected.high, expected.low)


async def test_a_second_fill_of_an_hour_adds_to_what_is_known_of_it(redis: Redis, session: ClientSession, pace: Pace):
    store, source = Writer(redis), Ranged(BTC)
    watched = await opened(source, session)
    source.holes = {NOON - 600, NOON - 540}
    await DayFiller(watched, store, 60, pace).fill(NOON, unseen)
    source.holes = set()

    taken = await DayFiller(watched, store, 60, pace).fill(NOON, unseen)

    assert taken == 2
    assert sorted(await store.read_ranges(BTC, NOON - DAY, NOON)) == [*TICKS]


async def test_what_a_filled_day_takes_in_redis_is_what_is_said(redis: Redis, session: ClientSession, pace: Pace):
    store, source = Writer(redis), Ranged(BTC)

    await DayFiller(await opened(source, session), store, 60, pace).fill(NOON, unseen)

    found = [key async for key in redis.scan_iter(match="v1:ranges:*")]
    assert len(found) == 24
    assert all([0 < await redis.ttl(key) <= 49 * HOUR for key in found])
    # Invented prices share no digit with the one before, so they take more than those of a market.
    assert sum([await redis.strlen(key) for key in found]) < 48_000
