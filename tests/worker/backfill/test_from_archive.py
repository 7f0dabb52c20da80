"""What was missed is made good: the day out of the archive, and the archive out of the providers."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from aiohttp import ClientSession
from redis.asyncio import Redis
from structlog.testing import capture_logs

from tests.support.archived import GRACE, Bench, bench, lose, samples_in, wrong
from tests.support.invented import BTC, ETH, NOON, Invented, price
from v1.model import By, Candle, Metric
from worker.backfill.day import DayFiller
from worker.cli.rebuild import rebuild_day
from worker.latest import DAY, HOUR, MINUTE, Measure, candles
from worker.latest.market import HourCandle
from worker.latest.store import Verifier
from worker.sources.errors import SourceUnreachable
from worker.sources.supervised import SupervisedSource


@pytest.fixture
async def here(fake: Redis, tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(fake, f"sqlite+aiosqlite:///{tmp_path}/archive.db") as opened:
        yield opened


class ByTheHour(Invented):
    """It has candles of an hour, too."""

    def __init__(self, *metrics: Metric) -> None:
        super().__init__(*metrics)
        self.hours_asked: list[tuple[int, int]] = []

    async def fetch_hours(self, _session: ClientSession, metric: Metric, start: int, end: int) -> Sequence[Candle]:
        self.hours_asked.append((start, end))
        prices = [(opens, price(metric, opens + HOUR)) for opens in range(start, end, HOUR)]
        return [Candle(opens, close, close, close, close, "1.5") for opens, close in prices]


async def watched(session: ClientSession, source: Invented) -> SupervisedSource:
    opened = SupervisedSource(source, session, 5)
    await opened.open(NOON)
    return opened


def made(here: Bench, source: str = "invented") -> HourCandle:
    """Make an hour that a provider knows, the first after noon."""
    known = Candle(NOON, "1.0", "9.0", "0.5", "7.50", "3")
    hour = candles.make_hour_from_candles(candles.HourSlot(BTC, NOON, here.end), [known], HOUR, source)
    assert hour
    return hour


# ---- the archive from the providers -----------------------------------------------------------------------


async def test_hours_that_only_the_provider_knows_are_asked_for_once(here: Bench, session: ClientSession):
    source = Invented(BTC)
    source.keeps = 30 * DAY
    await here.ticks(61)
    await here.archiver.archive_due(here.end + GRACE)

    first = await here.backfill.backfill(await watched(session, source), [], here.end)
    again = await here.backfill.backfill(await watched(session, source), [], here.end)

    assert (first.hours, again.hours) == (7 * 24, 0)
    assert source.candles_asked == [(BTC, NOON - 167 * HOUR, NOON + HOUR)]
    assert [hour.start for hour in await here.exchange_hours()] == list(range(NOON - 167 * HOUR, NOON + HOUR, HOUR))
    hours = await here.hours()
    older, *_, newest = hours
    assert [hour.source for hour in hours] == ["invented"] * (len(hours) - 1) + ["samples"]
    assert (older.start, newest.start) == (NOON - 167 * HOUR, NOON)
    assert {hour.samples for hour in hours} == {60}
    assert hours[-2].start < here.end - DAY, "minutes of the kept day are filled into it"


async def test_they_are_asked_for_as_far_back_as_is_wished(fake: Redis, tmp_path: Path, session: ClientSession):
    source = Invented(BTC)
    source.keeps = 30 * DAY
    for backfill, expected in ((0, 0), (36 * HOUR, 36)):
        async with bench(fake, f"sqlite+aiosqlite:///{tmp_path}/{backfill}.db", backfill=backfill) as here:
            await here.archiver.archive_due(NOON)
            found = await here.backfill.backfill(await watched(session, source), [], NOON)

            assert (found.hours, len(await here.exchange_hours())) == (expected, expected)
            await lose(here.store)


async def test_a_source_that_fails_is_told_and_asked_again_the_next_time(here: Bench, session: ClientSession):
    source = Invented(BTC, ETH)
    source.keeps = 30 * DAY
    source.candle_trouble = {BTC: [SourceUnreachable("gone")]}
    await here.archiver.archive_due(NOON)
    with capture_logs() as logs:
        first = await here.backfill.backfill(await watched(session, source), [], NOON)
        second = await here.backfill.backfill(await watched(session, source), [], NOON)

    assert (first.hours, second.hours) == (168, 168)
    told = [(entry["metric"], entry["reason"]) for entry in logs if entry["event"] == "no older hours"]
    assert told == [(BTC, "gone")]


async def test_what_the_provider_does_not_know_is_not_asked_for_again(here: Bench, session: ClientSession):
    source = Invented(BTC)
    source.keeps = 2 * DAY
    await here.archiver.archive_due(NOON)

    first = await here.backfill.backfill(await watched(session, source), [], NOON)
    later = await here.backfill.backfill(await watched(session, source), [], NOON + HOUR)

    assert (first.hours, later.hours) == (48, 1)
    assert [start for _, start, _ in source.candles_asked] == [NOON - 168 * HOUR, NOON]


async def test_what_is_urgent_comes_first(here: Bench, session: ClientSession):
    source = Invented(BTC, ETH)
    await here.archiver.archive_due(NOON)

    await here.backfill.backfill(await watched(session, source), [], NOON, lambda: len(source.candles_asked) == 1)

    assert [metric for metric, _, _ in source.candles_asked] == [BTC]


async def test_of_minutes_an_hour_is_made_of_which_a_part_is_missing_and_a_whole_one_stays_as_it_was_sampled(
    here: Bench, session: ClientSession
):
    source = Invented(BTC)
    source.keeps = 30 * DAY
    await here.ticks(20)
    here.end = NOON + HOUR
    await here.ticks(50)
    here.end = NOON + 2 * HOUR
    await here.ticks(60)
    await here.archiver.archive_due(here.end + GRACE)
    here.end += 2 * DAY
    await here.ticks(1)

    await here.backfill.backfill(await watched(session, source), [], here.end)

    hours = {hour.start: hour for hour in await here.hours()}
    found = [hours[NOON + place * HOUR] for place in range(3)]
    assert [(hour.samples, hour.source) for hour in found] == [(60, "invented"), (60, "invented"), (60, "samples")]
    assert {NOON, NOON + HOUR, NOON + 2 * HOUR} < {hour.start for hour in await here.exchange_hours()}


async def test_the_hour_at_the_edge_of_the_filled_day_is_the_exchanges_before_and_after_it_is_closed(
    here: Bench, session: ClientSession
):
    """The fill begins within it, so that its samples know only a part of its volume."""
    source = ByTheHour(BTC)
    source.keeps, here.end = 50 * MINUTE + 4 * HOUR, NOON + 5 * HOUR
    await here.archive.open()

    await rebuild_day([await watched(session, source)], here.store, here.parts, MINUTE, here.end)
    await here.archiver.archive_due(here.end + GRACE)
    await here.rollup.close_hour(NOON, here.end, [BTC])

    edge, whole = (await here.archive.read_rows(BTC, NOON, here.end))[:2]
    assert await samples_in(here.store, BTC, NOON) == 50
    assert (edge.kind, edge.volume, edge.covered) == ("exchange", "1.5", HOUR)
    assert (edge.samples, edge.averaged) == (50, 50 * MINUTE), "of which the mean is"
    assert (whole.kind, whole.samples, whole.averaged) == ("exchange", 60, HOUR)


async def test_what_a_provider_knows_less_of_stays_as_it_is(here: Bench, session: ClientSession):
    source = Invented(BTC)
    source.keeps = 2 * DAY - 30 * MINUTE
    await here.ticks(50)
    here.end = NOON + HOUR
    await here.ticks(1)
    await here.archiver.archive_due(here.end + GRACE)
    here.end = NOON + 2 * DAY + 30 * MINUTE
    await here.ticks(1)

    await here.backfill.backfill(await watched(session, source), [], here.end)

    first, *_ = await here.hours()
    assert (first.start, first.source, first.samples) == (NOON, "samples", 50)


@pytest.mark.parametrize("interval", [45, 16, 90])
async def test_hours_filled_where_minutes_and_intervals_meet_are_whole(
    fake: Redis, tmp_path: Path, session: ClientSession, interval: int
):
    source = ByTheHour(BTC)
    source.pace = 0
    async with bench(fake, f"sqlite+aiosqlite:///{tmp_path}/archive.db", interval=interval) as here:
        await here.archive.open()
        await rebuild_day([await watched(session, source)], here.store, here.parts, interval, NOON)
        await here.backfill.backfill(await watched(session, source), [], NOON)

        day = (await here.hours())[-23:]
        assert {(hour.source, hour.coverage) for hour in day} == {("samples", 1.0)}
        expected = {start: hour for start, hour in (await here.expected()).items() if start >= NOON - DAY}
        assert wrong(day, expected, NOON - HOUR) == []


@pytest.fixture
async def fine(fake: Redis, tmp_path: Path) -> AsyncIterator[Bench]:
    """With a sample every five seconds."""
    async with bench(fake, f"sqlite+aiosqlite:///{tmp_path}/archive.db", interval=5) as opened:
        yield opened


async def test_at_five_seconds_hours_of_minute_candles_are_whole_beside_the_exchanges(
    fine: Bench, session: ClientSession
):
    here, source = fine, ByTheHour(BTC)
    source.pace = 0
    await here.archive.open()

    await rebuild_day([await watched(session, source)], here.store, here.parts, here.interval, NOON)
    await here.backfill.backfill(await watched(session, source), [], NOON)

    assert source.hours_asked == [(NOON - 168 * HOUR, NOON)], "once"
    assert [hour.start for hour in await here.exchange_hours()] == list(range(NOON - 168 * HOUR, NOON, HOUR))
    assert await here.starts() == list(range(-24, -1))
    day = (await here.hours())[-23:]
    assert {(hour.source, hour.samples, hour.coverage) for hour in day} == {("samples", 60, 1.0)}
    expected = {start: hour for start, hour in (await here.expected()).items() if start >= NOON - DAY}
    assert wrong(day, expected, NOON - HOUR) == [], "their means among it"


# ---- the day from the archive -----------------------------------------------------------------------------


async def test_a_day_that_was_lost_comes_back_by_the_hour_and_is_ranked(here: Bench, session: ClientSession):
    source = Invented(BTC, ETH)
    source.keeps = 0
    await here.ticks(5 * 60 + 10, [BTC, ETH])
    await here.archiver.archive_due(here.end)
    before = await here.hours()
    await lose(here.store)

    taken = await here.backfill.backfill(await watched(session, source), [], here.end)
    await here.archiver.archive_due(here.end + 60)
    await here.archiver.archive_due(here.end + 65)

    assert taken.samples == 10
    day = await here.store.read_samples(ETH, here.end - DAY, here.end)
    assert [(each.tick, each.value(Measure.PRICE)) for each in day] == [
        (NOON + hour * HOUR, price(ETH, NOON + hour * HOUR)) for hour in range(1, 6)
    ]
    assert {value for each in day for value in each.values[1:]} == {None}
    (record, *_) = await here.store.read_metric_states([BTC])
    assert record
    assert record.source == "archive"
    assert (await Verifier(here.store._redis).verify(repair=False)).is_clean
    assert await here.hours() == before, "less is known of them now, and that changes nothing"


async def test_what_came_back_by_the_hour_gives_way_to_the_minutes_of_a_provider_that_is_back(
    here: Bench, session: ClientSession
):
    source = Invented(BTC)
    await here.ticks(5 * 60)
    await here.archiver.archive_due(here.end + GRACE)
    before = await here.hours()
    await lose(here.store)
    opened = await watched(session, source)
    source.keeps = 0
    await here.backfill.backfill(opened, [], here.end)
    source.keeps = 2 * DAY

    await DayFiller(opened, here.store, MINUTE, _at_once).fill(here.end, lambda *_: None)
    await here.archiver.archive_due(here.end + GRACE + 60)

    after = {hour.start: hour for hour in await here.hours()}
    assert [after[hour.start].volume for hour in before] == [hour.volume for hour in before]
    filled = await here.store.read_samples(BTC, NOON, here.end)
    assert [each.tick for each in filled if each.value(Measure.INTERVAL_VOLUME) is None] == []


async def _at_once(_: float) -> None:
    pass


async def test_hours_that_have_samples_stay_as_they_are(here: Bench, session: ClientSession):
    source = Invented(BTC)
    source.keeps = 0
    await here.ticks(30)
    here.end = NOON + 2 * HOUR
    await here.ticks(90)
    await here.archiver.archive_due(here.end + GRACE)
    await here.archive.write([made(here)._replace(start=NOON + HOUR)])

    await here.backfill.backfill(await watched(session, source), [], here.end)

    assert [await samples_in(here.store, BTC, NOON + place * HOUR) for place in range(3)] == [30, 1, 60]
    (between,) = await here.store.read_samples(BTC, NOON + HOUR, NOON + 2 * HOUR)
    assert (between.tick, between.value(Measure.PRICE)) == (NOON + 2 * HOUR, "7.50")


async def test_a_source_looks_after_its_own_metrics_and_those_of_nobody(here: Bench, session: ClientSession):
    one, other = Invented(BTC, name="one"), Invented(ETH, name="other")
    one.keeps = other.keeps = 0
    gone = Metric("INVENTED:GONE")
    await here.ticks(61, [BTC, ETH, gone])
    await here.archiver.archive_due(here.end + GRACE)
    await lose(here.store)

    await here.backfill.backfill(await watched(session, one), [await watched(session, other)], here.end)

    assert sorted(await here.store.read_metrics()) == [BTC, gone]


async def test_a_provider_that_cannot_be_reached_does_not_keep_the_day_from_coming_back(
    here: Bench, session: ClientSession
):
    source = Invented(BTC)
    source.trouble = SourceUnreachable("gone")
    await here.ticks(61)
    await here.archiver.archive_due(here.end + GRACE)
    await lose(here.store)

    taken = await here.backfill.backfill(SupervisedSource(source, session, 5), [], here.end)

    assert taken.samples == 1


# ---- the whole of it --------------------------------------------------------------------------------------


@pytest.fixture
async def alone(fake: Redis, tmp_path: Path) -> AsyncIterator[Bench]:
    """Providers are asked for nothing older than the day."""
    async with bench(fake, f"sqlite+aiosqlite:///{tmp_path}/archive.db", backfill=0) as opened:
        yield opened


async def test_a_rebuild_gives_minutes_where_the_provider_has_them_and_hours_before(
    alone: Bench, session: ClientSession
):
    here, source = alone, Invented(BTC, ETH)
    source.keeps, source.pace = 3 * HOUR, 0
    await here.ticks(10 * 60 + 20, [BTC, ETH])
    await here.archiver.archive_due(here.end)
    before = await here.hours(BTC)
    await lose(here.store)

    found = await rebuild_day([await watched(session, source)], here.store, here.parts, MINUTE, here.end)

    ticks = [each.tick for each in await here.store.read_samples(BTC, here.end - DAY, here.end)]
    minutes = [here.end - back * MINUTE for back in range(3 * 60)]
    by_hour = [NOON + hour * HOUR for hour in range(1, 8)]
    assert ticks == sorted({*minutes, *by_hour})
    assert found.samples == 2 * len(ticks)
    assert (await Verifier(here.store._redis).verify(repair=False)).is_clean
    assert await here.store.read_tick() == here.end
    assert (await here.store.read_ranking(Measure.PRICE, By.STDDEV, 0, 10)).of == 2
    after = await here.hours(BTC)
    assert [hour.ranged for hour in after] == [0] * 8 + [HOUR] * 2, "the provider's minutes have highs and lows"
    assert found.hours == 2 * 2
    nothing = {"ranged_open": None, "ranged_high": None, "ranged_low": None, "ranged": 0, "revision": 1}
    assert [hour._replace(**nothing, closed_at=0) for hour in after] == [hour._replace(closed_at=0) for hour in before]


async def test_a_rebuild_of_nothing_fills_the_day_and_the_archive(here: Bench, session: ClientSession):
    source = Invented(BTC)
    source.keeps, source.pace = 30 * DAY, 0
    await here.archive.open()

    found = await rebuild_day([await watched(session, source)], here.store, here.parts, MINUTE, NOON)

    assert found.samples == 1440
    assert await here.starts() == list(range(-168, -1))
    assert [hour.start for hour in await here.exchange_hours()] == list(range(NOON - 168 * HOUR, NOON, HOUR))
    sampled = [hour for hour in await here.hours() if hour.source == "samples"]
    assert len(sampled) == 23
    expected = {start: hour for start, hour in (await here.expected()).items() if start >= NOON - DAY}
    assert wrong(sampled, expected, NOON - HOUR) == []
