import asyncio
from collections.abc import Mapping

from aiohttp import ClientSession

from tests.support.invented import BTC, ETH, NOON, XRP, Invented, price
from worker.backfill.day import DayFiller
from worker.latest import Metric, Reading
from worker.latest.market import SourceReading
from worker.latest.store import Writer
from worker.sampling.collect import collect
from worker.sampling.tick import commit_tick
from worker.sources.errors import SourceUnreachable
from worker.sources.ownership import open_up_to
from worker.sources.supervised import SupervisedSource


async def test_the_first_source_has_precedence_and_each_number_says_who_gave_it(session: ClientSession):
    sources = Invented(BTC, ETH, name="first"), Invented(ETH, XRP, name="second")

    heard = await collect([SupervisedSource(source, session, 5) for source in sources], NOON)

    assert {metric: each.source for metric, each in heard.items()} == {BTC: "first", ETH: "first", XRP: "second"}
    assert heard[XRP] == SourceReading(sources[1].reading(XRP, NOON), "second")


def given_by(heard: Mapping[Metric, SourceReading]) -> dict[Metric, str]:
    return {metric: each.source for metric, each in heard.items()}


async def test_a_metric_stays_with_its_source_and_what_that_does_not_say_is_missing(session: ClientSession):
    first, second = Invented(BTC, ETH, name="first"), Invented(ETH, XRP, name="second")
    sources = [SupervisedSource(source, session, 5) for source in (first, second)]
    said = []

    for minute, trouble in enumerate([None, SourceUnreachable("gone"), None]):
        first.trouble = trouble
        said.append(given_by(await collect(sources, NOON + 60 * minute)))

    whole = {BTC: "first", ETH: "first", XRP: "second"}
    assert said == [whole, {XRP: "second"}, whole]
    assert [each.describe_state()["metrics"] for each in sources] == [2, 1]


async def test_one_answer_that_cannot_be_read_is_missing_and_no_other_source_stands_in(session: ClientSession):
    class Unreadable(Invented):
        """It has all its metrics, and at a tick one of them without a price that can be read."""

        async def fetch(self, session: ClientSession, at: int) -> Mapping[Metric, Reading]:
            readings = await super().fetch(session, at)
            return {metric: reading for metric, reading in readings.items() if at == NOON or metric != ETH}

    sources = [
        SupervisedSource(Unreadable(BTC, ETH, name="first"), session, 5),
        SupervisedSource(Invented(ETH), session, 5),
    ]

    heard = [given_by(await collect(sources, at)) for at in (NOON, NOON + 60)]

    assert heard == [{BTC: "first", ETH: "first"}, {BTC: "first"}]


async def test_a_source_that_says_late_what_it_has_takes_its_place_once(session: ClientSession):
    first, second = Invented(BTC, name="first"), Invented(BTC, name="second")
    sources = [SupervisedSource(source, session, 5) for source in (first, second)]
    said = []

    for minute, trouble in enumerate([SourceUnreachable("not yet"), None, SourceUnreachable("gone"), None]):
        first.trouble = trouble
        said.append(given_by(await collect(sources, NOON + 60 * minute)))

    assert said == [{BTC: "second"}, {BTC: "first"}, {}, {BTC: "first"}]


async def test_a_metric_that_its_source_has_no_more_stays_with_the_next_one(session: ClientSession):
    first, second = Invented(BTC, ETH, name="first"), Invented(BTC, name="second")
    sources = [SupervisedSource(source, session, 5) for source in (first, second)]
    said = []

    for minute, listed in enumerate([(BTC, ETH), (ETH,), (BTC, ETH)]):
        first.lists(*listed)
        await first.open(session)
        said.append(given_by(await collect(sources, NOON + 60 * minute)).get(BTC))

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


async def test_all_are_asked_at_once(session: ClientSession):
    slow, quick = Invented(BTC, name="slow"), Invented(ETH, name="quick")
    slow.gate.clear()

    asking = asyncio.create_task(collect([SupervisedSource(source, session, 5) for source in (slow, quick)], NOON))
    while not quick.fetched:
        await asyncio.sleep(0)
    slow.gate.set()

    assert (await asking).keys() == {BTC, ETH}


async def test_one_that_hangs_costs_only_its_own_numbers(session: ClientSession):
    hung, other = Invented(BTC, name="hung"), Invented(ETH, name="other")
    hung.gate.clear()

    heard = await collect([SupervisedSource(hung, session, 0.05), SupervisedSource(other, session, 5)], NOON)

    assert heard.keys() == {ETH}


async def test_without_anybody_to_ask_nothing_is_heard():
    heard = await collect([], NOON)

    assert heard == {}


async def test_a_price_is_passed_on_as_it_was_said(session: ClientSession):
    heard = await collect([SupervisedSource(Invented(BTC), session, 5)], NOON)

    assert heard[BTC].reading.price == price(BTC, NOON)
