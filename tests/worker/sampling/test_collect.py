import asyncio
from collections.abc import Mapping

from aiohttp import ClientSession

from tests.support.invented import BTC, ETH, NOON, XRP, Invented, price, volume
from worker.backfill.day import DayFiller
from worker.latest import Metric, Reading
from worker.latest.market import SourceReading
from worker.latest.store import Writer
from worker.sampling.collect import collect
from worker.sampling.market_watch import MarketWatch
from worker.sampling.reading_checks import ReadingChecks
from worker.sampling.tick import commit_tick
from worker.sources.errors import SourceUnreachable
from worker.sources.ownership import open_up_to
from worker.sources.supervised import SupervisedSource


async def test_the_first_source_has_precedence_and_each_number_says_who_gave_it(
    session: ClientSession, watch: MarketWatch
):
    sources = Invented(BTC, ETH, name="first"), Invented(ETH, XRP, name="second")

    heard = await collect([SupervisedSource(source, session, 5) for source in sources], NOON, watch)

    assert {metric: each.source for metric, each in heard.items()} == {BTC: "first", ETH: "first", XRP: "second"}
    assert heard[XRP] == SourceReading(sources[1].reading(XRP, NOON), "second")


def given_by(heard: Mapping[Metric, SourceReading]) -> dict[Metric, str]:
    return {metric: each.source for metric, each in heard.items()}


async def test_the_next_source_serves_at_the_very_tick_at_which_the_first_fails_and_until_it_is_good_three_times(
    session: ClientSession, watch: MarketWatch
):
    first, second = Invented(BTC, ETH, name="first"), Invented(ETH, XRP, name="second")
    sources = [SupervisedSource(source, session, 5) for source in (first, second)]
    said = []

    for minute, is_up in enumerate([True, False, True, True, False, True, True, True, True]):
        first.trouble = None if is_up else SourceUnreachable("gone")
        said.append(given_by(await collect(sources, NOON + 60 * minute, watch)))

    assert [tick.get(ETH) for tick in said] == [
        *("first", "second", "second", "second", "second"),
        *("second", "second", "first", "first"),
    ]
    assert [tick.get(BTC) for tick in said] == [*("first", None, "first", "first", None), *["first"] * 4]
    assert {tick[XRP] for tick in said} == {"second"}


async def test_the_whole_reading_is_of_one_source(session: ClientSession, watch: MarketWatch):
    first, second = Invented(BTC, name="first"), Doubled(BTC, name="second")
    sources = [SupervisedSource(source, session, 5) for source in (first, second)]
    for minute, is_up in enumerate([True, False]):
        first.trouble = None if is_up else SourceUnreachable("gone")
        heard = await collect(sources, NOON + 60 * minute, watch)

        serving = first if is_up else second
        assert heard == {BTC: SourceReading(serving.reading(BTC, NOON + 60 * minute), serving.name)}


class Doubled(Invented):
    """It says twice as much was traded."""

    def reading(self, metric: Metric, at: int) -> Reading:
        return super().reading(metric, at)._replace(interval_volume=f"{2 * float(volume(at)):.1f}")


async def test_another_source_stands_in_for_one_answer_that_cannot_be_read(session: ClientSession, watch: MarketWatch):
    class Unreadable(Invented):
        """It has all its metrics, and at a tick one of them without a price that can be read."""

        async def fetch(self, session: ClientSession, at: int) -> Mapping[Metric, Reading]:
            readings = await super().fetch(session, at)
            return {metric: reading for metric, reading in readings.items() if at == NOON or metric != ETH}

    sources = [
        SupervisedSource(Unreadable(BTC, ETH, name="first"), session, 5),
        SupervisedSource(Invented(ETH), session, 5),
    ]

    heard = [given_by(await collect(sources, at, watch)) for at in (NOON, NOON + 60)]

    assert heard == [{BTC: "first", ETH: "first"}, {BTC: "first", ETH: "invented"}]


async def test_another_source_stands_in_for_a_reading_that_cannot_be_so(session: ClientSession, watch: MarketWatch):
    class Ahead(Invented):
        """From a tick on its clock is an hour ahead."""

        def reading(self, metric: Metric, at: int) -> Reading:
            return super().reading(metric, at)._replace(provider_time=at if at == NOON else at + 3600)

    sources = [SupervisedSource(source, session, 5) for source in (Ahead(BTC, name="first"), Invented(BTC))]
    checks = ReadingChecks(10**6)

    heard = [given_by(await collect(sources, at, watch, checks)) for at in (NOON, NOON + 60, NOON + 120)]

    assert heard == [{BTC: "first"}, {BTC: "invented"}, {BTC: "invented"}]
    assert sources[0].rejects == {"provider time in the future": 1}


async def test_an_older_time_of_another_source_is_no_fault(session: ClientSession, watch: MarketWatch):
    class Behind(Invented):
        def reading(self, metric: Metric, at: int) -> Reading:
            return super().reading(metric, at)._replace(provider_time=at - 90)

    first, second = Invented(BTC, name="first"), Behind(BTC, name="second")
    sources, checks = [SupervisedSource(source, session, 5) for source in (first, second)], ReadingChecks(10**6)
    said = []

    for minute, is_up in enumerate([True, False, False]):
        first.trouble = None if is_up else SourceUnreachable("gone")
        said.append(given_by(await collect(sources, NOON + 60 * minute, watch, checks)))

    assert said == [{BTC: "first"}, {BTC: "second"}, {BTC: "second"}]


async def test_a_source_whose_time_stands_still_does_not_serve_while_another_moves(
    session: ClientSession, watch: MarketWatch
):
    class Frozen(Invented):
        """From a tick on its answer is that of then."""

        def reading(self, metric: Metric, at: int) -> Reading:
            return super().reading(metric, min(at, NOON + 60))

    sources = [SupervisedSource(source, session, 5) for source in (Frozen(BTC, name="first"), Invented(BTC))]

    heard = [given_by(await collect(sources, NOON + 60 * minute, watch)) for minute in range(4)]

    assert heard == [{BTC: "first"}, {BTC: "first"}, {BTC: "invented"}, {BTC: "invented"}]


async def test_a_source_that_says_late_what_it_has_serves_once_it_is_good_three_times(
    session: ClientSession, watch: MarketWatch
):
    first, second = Invented(BTC, name="first"), Invented(BTC, name="second")
    sources = [SupervisedSource(source, session, 5) for source in (first, second)]
    said = []

    for minute, trouble in enumerate([SourceUnreachable("not yet"), None, None, None]):
        first.trouble = trouble
        said.append(given_by(await collect(sources, NOON + 60 * minute, watch)))

    assert said == [{BTC: "second"}, {BTC: "second"}, {BTC: "second"}, {BTC: "first"}]


async def test_a_metric_that_its_source_has_no_more_is_served_by_the_next_one(
    session: ClientSession, watch: MarketWatch
):
    first, second = Invented(BTC, ETH, name="first"), Invented(BTC, name="second")
    sources = [SupervisedSource(source, session, 5) for source in (first, second)]
    said = []

    for minute, listed in enumerate([(BTC, ETH), (ETH,), (BTC, ETH)]):
        first.lists(*listed)
        await first.open(session)
        said.append(given_by(await collect(sources, NOON + 60 * minute, watch)).get(BTC))

    assert said == ["first", "second", "second"]


async def test_holes_are_filled_by_the_source_that_gives_the_metric(session: ClientSession, store: Writer):
    first, second = Invented(BTC, name="first"), Invented(BTC, ETH, name="second")
    sources = [SupervisedSource(source, session, 5) for source in (first, second)]
    await store.open()
    await commit_tick(NOON, {}, store)

    await open_up_to(sources[1], sources, NOON)
    for source in sources:
        await DayFiller(source, store, 60, _at_once).fill(NOON, lambda *_: None)

    assert {metric for metric, _, _ in first.candles_asked} == {BTC}
    assert {metric for metric, _, _ in second.candles_asked} == {ETH}


async def _at_once(_: float) -> None:
    pass


async def test_all_are_asked_at_once(session: ClientSession, watch: MarketWatch):
    slow, quick = Invented(BTC, name="slow"), Invented(ETH, name="quick")
    slow.gate.clear()

    asking = asyncio.create_task(
        collect([SupervisedSource(source, session, 5) for source in (slow, quick)], NOON, watch)
    )
    while not quick.fetched:
        await asyncio.sleep(0)
    slow.gate.set()

    assert (await asking).keys() == {BTC, ETH}


async def test_one_that_hangs_costs_only_its_own_numbers(session: ClientSession, watch: MarketWatch):
    hung, other = Invented(BTC, name="hung"), Invented(ETH, name="other")
    hung.gate.clear()

    heard = await collect([SupervisedSource(hung, session, 0.05), SupervisedSource(other, session, 5)], NOON, watch)

    assert heard.keys() == {ETH}


async def test_without_anybody_to_ask_nothing_is_heard(watch: MarketWatch):
    heard = await collect([], NOON, watch)

    assert heard == {}


async def test_a_price_is_passed_on_as_it_was_said(session: ClientSession, watch: MarketWatch):
    heard = await collect([SupervisedSource(Invented(BTC), session, 5)], NOON, watch)

    assert heard[BTC].reading.price == price(BTC, NOON)
