"""The exchange's own hours: when they are asked for, how often, and what a failure costs."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from unittest.mock import AsyncMock, create_autospec

import pytest
from aiohttp import ClientSession
from redis.asyncio import Redis
from structlog.testing import capture_logs

from tests.support.archived import Bench, bench
from tests.support.invented import BTC, ETH, NOON, Invented, price, volume
from worker.backfill.exchange_hours import (
    CHECK_SECONDS,
    FINAL_SECONDS,
    MOST_TRIES,
    SPREAD_SECONDS,
    ExchangeHourPoller,
    count_calls,
)
from worker.latest import DAY, HOUR, MINUTE, Candle, Metric
from worker.latest.archive import ArchiveError
from worker.latest.market import ExchangeHour
from worker.sources.errors import RequestRefused, SourceRefused, SourceUnreachable
from worker.sources.streams.streamed_ticks import StreamedTicks
from worker.sources.supervised import SupervisedSource

FINAL = NOON + HOUR + FINAL_SECONDS
MANY = [Metric(f"INVENTED:C{number:03}USD") for number in range(700)]


class ByTheHour(Invented):
    """It has candles of an hour, each with a range that its closes do not show; those of `late` come later."""

    def __init__(self, *metrics: Metric) -> None:
        super().__init__(*metrics)
        self.pace = 0
        self.asked: list[tuple[Metric, int, int]] = []
        self.late: set[int] = set()

    async def fetch_hours(self, _session: ClientSession, metric: Metric, start: int, end: int) -> Sequence[Candle]:
        self.asked.append((metric, start, end))
        await self._answer()
        if self.candle_trouble.get(metric):
            raise self.candle_trouble[metric].pop(0)
        return [self.hour(metric, opens) for opens in range(start, end, HOUR) if opens not in self.late]

    def hour(self, metric: Metric, start: int) -> Candle:
        close = price(metric, start + HOUR)
        return Candle(start, close, f"1{close}", "0.00010", close, volume(start))


@pytest.fixture
async def here(fake: Redis, tmp_path: Path) -> AsyncIterator[Bench]:
    """An archive that is open, and may be asked for a day of hours."""
    async with bench(fake, f"sqlite+aiosqlite:///{tmp_path}/archive.db", backfill=DAY) as opened:
        await opened.archiver.open(NOON)
        yield opened


async def watched(session: ClientSession, source: Invented) -> SupervisedSource:
    opened = SupervisedSource(source, session, 5)
    await opened.open(NOON)
    return opened


def to_hour(metric: Metric, candle: Candle, at: int = 0) -> ExchangeHour:
    return ExchangeHour(metric, *candle, "invented", at)


async def know_until(here: Bench, until: int, metric: Metric) -> None:
    """Have the archive know the exchange's hours of the day before `until`."""
    told = ByTheHour(metric)
    await here.archive.write_exchange_hours(
        [to_hour(metric, told.hour(metric, start)) for start in range(until - DAY, until, HOUR)]
    )


async def test_an_hour_is_asked_for_once_when_it_is_final_and_kept_as_it_was_told(here: Bench, session: ClientSession):
    source = ByTheHour(BTC)
    await know_until(here, NOON, BTC)
    poller = here.poller(await watched(session, source))

    await poller.ask_due(FINAL - 1)
    early = [*source.asked]
    for now in range(FINAL, FINAL + 600, CHECK_SECONDS):
        await poller.ask_due(now)

    assert early == []
    assert source.asked == [(BTC, NOON, NOON + HOUR)]
    assert [hour for hour in await here.exchange_hours() if hour.start == NOON] == [
        to_hour(BTC, source.hour(BTC, NOON), NOON + HOUR)
    ]


async def test_a_range_that_no_sample_shows_is_answered(here: Bench, session: ClientSession):
    source = ByTheHour(BTC)
    await here.ticks(60)
    await here.archiver.archive_due(FINAL)

    await here.poller(await watched(session, source)).ask_due(FINAL)

    (row,) = await here.archive.read_rows(BTC, NOON, NOON + HOUR)
    told = source.hour(BTC, NOON)
    assert (row.kind, row.open, row.high, row.low, row.close) == (
        "exchange",
        told.open,
        told.high,
        told.low,
        told.close,
    )
    assert (row.samples, row.averaged, row.covered) == (60, HOUR, HOUR)


async def test_many_metrics_are_spread_over_the_hour_one_call_each(here: Bench, session: ClientSession):
    source = ByTheHour(*MANY)
    poller, calls = here.poller(await watched(session, source)), []

    for now in range(FINAL, FINAL + HOUR, CHECK_SECONDS):
        before = len(source.asked)
        await poller.ask_due(now)
        calls.append(len(source.asked) - before)

    assert Counter(metric for metric, _, _ in source.asked) == dict.fromkeys(MANY, 1)
    assert max(calls) <= 2
    assert sum(calls[: SPREAD_SECONDS // CHECK_SECONDS]) == len(MANY)


@pytest.mark.parametrize(
    "due, elapsed, pace, expected",
    [
        (1, 0, 1.0, 1),
        (600, 0, 1.0, 1),
        (601, 0, 1.0, 2),
        (1500, 0, 0.15, 3),
        (1500, 2990, 0.15, 33),
        (1500, 2990, 1.0, 5),
        (3, 3500, 60.0, 1),
        (9, 3500, 0, 9),
    ],
)
def test_the_pace_of_a_source_bounds_its_calls(due: int, elapsed: int, pace: float, expected: int):
    assert count_calls(due, elapsed, pace) == expected


async def test_an_hour_that_is_late_comes_with_the_next_call_and_costs_none(here: Bench, session: ClientSession):
    source = ByTheHour(BTC)
    source.late = {NOON}
    await know_until(here, NOON, BTC)
    poller = here.poller(await watched(session, source))

    for now in (FINAL, FINAL + 5, FINAL + 600):
        await poller.ask_due(now)
    source.late = set()
    await poller.ask_due(FINAL + HOUR)
    await poller.ask_due(FINAL + 2 * HOUR)

    assert source.asked == [
        (BTC, NOON, NOON + HOUR),
        (BTC, NOON, NOON + 2 * HOUR),
        (BTC, NOON + 2 * HOUR, NOON + 3 * HOUR),
    ]
    assert [hour.start for hour in await here.exchange_hours()][-3:] == [NOON, NOON + HOUR, NOON + 2 * HOUR]


async def test_what_was_missed_while_nobody_ran_comes_with_one_call(here: Bench, session: ClientSession):
    source = ByTheHour(BTC)
    await know_until(here, NOON - 7 * HOUR, BTC)

    await here.poller(await watched(session, source)).ask_due(FINAL)

    assert source.asked == [(BTC, NOON - 7 * HOUR, NOON + HOUR)]
    starts = [hour.start for hour in await here.exchange_hours()]
    assert starts == list(range(starts[0], NOON + HOUR, HOUR))


async def test_a_source_that_fails_is_left_alone_ever_longer_and_logged_once(here: Bench, session: ClientSession):
    source = ByTheHour(*MANY[:100])
    opened = await watched(session, source)
    poller = here.poller(opened)
    source.trouble = SourceUnreachable("gone")

    with capture_logs() as logs:
        for now in range(FINAL, FINAL + 1200, CHECK_SECONDS):
            await poller.ask_due(now)
        failed = len(source.asked)
        source.trouble = None
        for now in range(FINAL + 1200, FINAL + HOUR, CHECK_SECONDS):
            await poller.ask_due(now)

    assert failed <= 10
    assert [entry["event"] for entry in logs] == ["no hourly candles", "hourly candles come again"]
    assert len({metric for metric, _, _ in source.asked[failed:]}) == 100


async def test_a_wait_that_a_provider_asks_for_is_kept(here: Bench, session: ClientSession):
    source = ByTheHour(BTC, ETH)
    source.candle_trouble = {BTC: [SourceRefused("slow down", 900)]}
    poller = here.poller(await watched(session, source))

    for now in range(FINAL, FINAL + 900, CHECK_SECONDS):
        await poller.ask_due(now)
    during = len(source.asked)
    for now in range(FINAL + 900, FINAL + 960, CHECK_SECONDS):
        await poller.ask_due(now)

    assert during == 1
    assert [metric for metric, _, _ in source.asked] == [BTC, ETH, BTC]


async def test_a_metric_that_is_refused_costs_the_others_nothing(here: Bench, session: ClientSession):
    source = ByTheHour(BTC, ETH)
    source.candle_trouble = {BTC: [RequestRefused("no such pair")] * 100}
    poller = here.poller(await watched(session, source))

    for now in range(FINAL, FINAL + HOUR, CHECK_SECONDS):
        await poller.ask_due(now)

    asked = Counter(metric for metric, _, _ in source.asked)
    assert asked == {BTC: MOST_TRIES, ETH: 1}


async def test_a_source_whose_past_is_filled_just_now_is_not_asked_twice(here: Bench, session: ClientSession):
    source, busy = ByTheHour(BTC), {"invented"}
    poller = here.poller(await watched(session, source), is_busy=busy.__contains__)

    await poller.ask_due(FINAL)
    while_busy = len(source.asked)
    busy.clear()
    await poller.ask_due(FINAL + 5)

    assert (while_busy, len(source.asked)) == (0, 1)


async def test_an_archive_that_fails_is_told_and_the_hours_come_when_it_is_back(here: Bench, session: ClientSession):
    source = ByTheHour(BTC)
    poller, write = here.poller(await watched(session, source)), here.archive.write_exchange_hours

    async def fail(_hours: object) -> int:
        raise ArchiveError("full")

    here.archive.write_exchange_hours = fail  # type: ignore[assignment]  # it is full
    for now in (FINAL, FINAL + 5, FINAL + 10):
        await poller.ask_due(now)
    failing, tries = here.health.describe()["state"], len(source.asked)
    here.archive.write_exchange_hours = write  # type: ignore[method-assign]  # it is back
    await here.archiver.archive_due(FINAL + 100)
    await poller.ask_due(FINAL + 105)

    assert (failing, tries) == ("failing", 1)
    assert len(await here.exchange_hours()) == 24


async def test_without_older_hours_no_hours_are_asked_for(fake: Redis, tmp_path: Path, session: ClientSession):
    source = ByTheHour(BTC)
    async with bench(fake, f"sqlite+aiosqlite:///{tmp_path}/archive.db", backfill=0) as here:
        await here.archiver.open(NOON)
        await here.poller(await watched(session, source)).ask_due(FINAL)

    assert source.asked == []


async def test_of_minutes_an_hour_is_the_exchanges_only_where_all_of_them_came(here: Bench, session: ClientSession):
    source = Invented(BTC)
    source.keeps, source.pace = 3 * HOUR, 0
    source.holes = {NOON - HOUR + 7 * MINUTE}

    await here.poller(await watched(session, source)).ask_due(FINAL)

    assert [hour.start for hour in await here.exchange_hours()] == [NOON - 2 * HOUR, NOON]


def stream_hours(source: SupervisedSource, found: Mapping[tuple[Metric, int], Candle]) -> None:
    """Have streams tell some hours whole."""
    streamed = create_autospec(StreamedTicks, instance=True)
    streamed.find_hour.side_effect = lambda metric, hour: found.get((metric, hour))
    source.streamed = streamed


async def test_an_hour_that_a_stream_brought_whole_costs_no_request_and_others_are_asked_for(
    here: Bench, session: ClientSession
):
    source = ByTheHour(BTC, ETH)
    for metric in (BTC, ETH):
        await know_until(here, NOON, metric)
    supervised = await watched(session, source)
    candle = Candle(NOON + HOUR, "5", "9.5", "4", "6", "7.25")
    stream_hours(supervised, {(BTC, NOON + HOUR): candle})
    poller = here.poller(supervised)
    await poll(poller, FINAL)
    source.asked.clear()

    await poll(poller, FINAL + HOUR)

    assert source.asked == [(ETH, NOON + HOUR, NOON + 2 * HOUR)]
    assert (await here.exchange_hours())[-1] == to_hour(BTC, candle, NOON + 2 * HOUR)


async def test_hours_of_before_the_stream_are_still_asked_for(here: Bench, session: ClientSession):
    source = ByTheHour(BTC)
    supervised = await watched(session, source)
    candle = Candle(NOON, "5", "9.5", "4", "6", "7.25")
    stream_hours(supervised, {(BTC, NOON): candle})

    await poll(here.poller(supervised), FINAL)

    assert source.asked == [(BTC, NOON + HOUR - DAY, NOON)]
    assert (await here.exchange_hours())[-1] == to_hour(BTC, candle, NOON + HOUR)
    assert len(await here.exchange_hours()) == 24


async def test_an_archive_that_fails_while_streams_have_an_hour_is_told_and_the_hour_comes_after_it(
    here: Bench, session: ClientSession, monkeypatch: pytest.MonkeyPatch
):
    source = ByTheHour(BTC)
    await know_until(here, NOON, BTC)
    supervised = await watched(session, source)
    stream_hours(supervised, {(BTC, NOON): Candle(NOON, "5", "9.5", "4", "6", "7.25")})
    poller = here.poller(supervised)
    with monkeypatch.context() as broken:
        broken.setattr(here.archive, "write_exchange_hours", AsyncMock(side_effect=ArchiveError("no space")))
        await poller.ask_due(FINAL)
    await here.archiver.archive_due(FINAL + 5)

    await poll(poller, FINAL + 60)

    assert source.asked == []
    assert (await here.exchange_hours())[-1].high == "9.5"


async def poll(poller: ExchangeHourPoller, since: int) -> None:
    """Let ten minutes pass."""
    for now in range(since, since + 600, CHECK_SECONDS):
        await poller.ask_due(now)
