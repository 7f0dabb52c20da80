import asyncio

from aiohttp import ClientSession

from worker.asking import ask
from worker.latest import Heard
from worker.sources.base import Unreachable
from worker.sources.watched import Watched

from .invented import BTC, ETH, NOON, XRP, Invented, price


async def test_the_first_source_has_precedence_and_each_number_says_who_gave_it(session: ClientSession):
    sources = Invented(BTC, ETH, name="first"), Invented(ETH, XRP, name="second")

    heard = await ask([Watched(source, session, 5) for source in sources], NOON)

    assert {metric: each.source for metric, each in heard.items()} == {BTC: "first", ETH: "first", XRP: "second"}
    assert heard[XRP] == Heard(sources[1].reading(XRP, NOON), "second")


async def test_where_the_first_fails_the_second_serves_and_when_it_is_back_it_has_precedence_again(
    session: ClientSession,
):
    first, second = Invented(BTC, ETH, name="first"), Invented(ETH, name="second")
    sources = [Watched(source, session, 5) for source in (first, second)]
    said = []

    for minute, trouble in enumerate([None, Unreachable("gone"), None]):
        first.trouble = trouble
        heard = await ask(sources, NOON + 60 * minute)
        said.append({metric: each.source for metric, each in heard.items()})

    assert said == [{BTC: "first", ETH: "first"}, {ETH: "second"}, {BTC: "first", ETH: "first"}]


async def test_all_are_asked_at_once(session: ClientSession):
    slow, quick = Invented(BTC, name="slow"), Invented(ETH, name="quick")
    slow.gate.clear()

    asking = asyncio.create_task(ask([Watched(source, session, 5) for source in (slow, quick)], NOON))
    while not quick.fetched:
        await asyncio.sleep(0)
    slow.gate.set()

    assert (await asking).keys() == {BTC, ETH}


async def test_one_that_hangs_costs_only_its_own_numbers(session: ClientSession):
    hung, other = Invented(BTC, name="hung"), Invented(ETH, name="other")
    hung.gate.clear()

    heard = await ask([Watched(hung, session, 0.05), Watched(other, session, 5)], NOON)

    assert heard.keys() == {ETH}


async def test_without_anybody_to_ask_nothing_is_heard():
    heard = await ask([], NOON)

    assert heard == {}


async def test_a_price_is_passed_on_as_it_was_said(session: ClientSession):
    heard = await ask([Watched(Invented(BTC), session, 5)], NOON)

    assert heard[BTC].reading.price == price(BTC, NOON)
