import asyncio

import pytest
from aiohttp import ClientSession
from structlog.testing import capture_logs

from tests.support.invented import BTC, ETH, NOON, XRP, Invented
from worker.sources.errors import InvalidResponse, SourceRefused, SourceUnreachable
from worker.sources.supervised import SupervisedSource, supervise


@pytest.fixture
def source() -> Invented:
    return Invented(BTC, ETH)


@pytest.fixture
def watched(source: Invented, session: ClientSession) -> SupervisedSource:
    return SupervisedSource(source, session, timeout=5)


def told(logs) -> list[str]:
    """Return what was logged, without the line that a source is open."""
    return [entry["event"] for entry in logs if entry["event"] != "source is open"]


async def test_it_is_opened_when_it_is_first_needed_and_only_once(source: Invented, watched: SupervisedSource):
    for minute in range(3):
        await watched.read(NOON + 60 * minute)
    await watched.open(NOON + 180)

    assert source.opened == 1


async def test_once_an_hour_it_is_asked_anew_what_it_has_and_a_new_metric_is_sampled_and_filled(
    source: Invented, watched: SupervisedSource
):
    source.missing = {XRP: "invented has no XRPUSD"}
    await watched.read(NOON)
    source.lists(BTC, XRP)
    source.missing = {ETH: "invented has no ETHUSD"}

    within = await watched.read(NOON + 3540)
    was_whole = watched.take_recovery()
    await watched.read(NOON + 3600)
    await asyncio.sleep(0)
    with_new = await watched.read(NOON + 3660)

    assert within.keys() == {BTC, ETH}
    assert not was_whole
    assert with_new.keys() == {BTC, XRP}
    assert watched.take_recovery()
    assert watched.describe_state()["missing"] == {ETH: "invented has no ETHUSD"}


async def test_where_a_market_is_missing_it_is_asked_for_every_five_minutes_until_it_is_back(
    source: Invented, watched: SupervisedSource
):
    await watched.read(NOON)
    source.lists(BTC)
    await watched.read(NOON + 3600)
    await asyncio.sleep(0)
    halted = [(await watched.read(NOON + 3600 + 60 * minute)).keys() for minute in range(1, 5)]
    source.lists(BTC, ETH)

    await watched.read(NOON + 3600 + 300)
    await asyncio.sleep(0)
    back = await watched.read(NOON + 3600 + 360)

    assert halted == [{BTC}] * 4
    assert back.keys() == {BTC, ETH}
    assert watched.take_recovery()


async def test_a_wait_that_is_asked_for_when_asked_what_is_new_is_kept(source: Invented, watched: SupervisedSource):
    await watched.read(NOON)
    source.listing_trouble = SourceRefused("too much", 120)
    await watched.read(NOON + 3600)
    await asyncio.sleep(0)

    assert await watched.read(NOON + 3660) == {}
    assert (await watched.read(NOON + 3720)).keys() == {BTC, ETH}


async def test_no_question_is_left_when_its_session_is_closed(source: Invented):
    async with ClientSession() as session:
        with supervise([(source, session)], timeout=5) as (watched,):
            await watched.read(NOON)
            source.gate.clear()
            source.opened = 0
            waiting = asyncio.create_task(watched.read(NOON + 3600))
            await asyncio.sleep(0)
            source.gate.set()
            await waiting
            source.gate.clear()
            await asyncio.sleep(0)
    left = asyncio.all_tasks() - {asyncio.current_task()}

    assert source.opened == 1
    assert all(task.cancelling() for task in left)


async def test_a_source_that_does_not_say_what_is_new_goes_on_with_what_it_had(
    source: Invented, watched: SupervisedSource
):
    await watched.read(NOON)
    source.listing_trouble = SourceUnreachable("no answer")

    with capture_logs() as logs:
        later = [await watched.read(NOON + 3600 + 60 * minute) for minute in range(3)]
        await asyncio.sleep(0)

    assert [given.keys() for given in later] == [{BTC, ETH}] * 3
    assert told(logs) == ["what the source has now is not known"]


async def test_what_the_provider_does_not_have_is_named_when_it_opens(source: Invented, watched: SupervisedSource):
    source.missing = {XRP: "invented has no XRPUSD"}

    await watched.open(NOON)

    assert watched.describe_state()["missing"] == {XRP: "invented has no XRPUSD"}
    assert watched.describe_state()["metrics"] == 2


async def test_a_failure_costs_its_numbers_of_that_tick_and_is_retried_at_the_next(
    source: Invented, watched: SupervisedSource
):
    source.trouble = SourceUnreachable("no answer")
    first = await watched.read(NOON)

    source.trouble = None
    second = await watched.read(NOON + 60)

    assert first == {}
    assert second.keys() == {BTC, ETH}


async def test_it_is_logged_once_per_change_of_state_with_the_reason(source: Invented, watched: SupervisedSource):
    await watched.open(NOON)
    troubles = [
        None,
        SourceUnreachable("no answer"),
        SourceUnreachable("no answer"),
        InvalidResponse("a web page"),
        None,
        None,
    ]

    with capture_logs() as logs:
        for minute, trouble in enumerate(troubles):
            source.trouble = trouble
            await watched.read(NOON + 60 * minute)

    assert [(entry["log_level"], entry["event"], entry.get("reason")) for entry in logs] == [
        ("warning", "source fails", "no answer"),
        ("warning", "source still fails", "a web page"),
        ("info", "source is back", None),
    ]
    assert logs[1]["since"] == logs[2]["failed_since"] == NOON + 60


async def test_the_state_says_since_when_why_and_how_often(source: Invented, watched: SupervisedSource):
    source.trouble = SourceUnreachable("no answer")
    source.rejects["dead market"] = 3

    for minute in range(4):
        await watched.read(NOON + 60 * minute)
    failing = watched.describe_state()
    source.trouble = None
    await watched.read(NOON + 240)

    assert failing == {
        "state": "failing",
        "since": NOON,
        "reason": "no answer",
        "retry_at": None,
        "advice": "see whether this machine reaches TRACKER_INVENTED_URL: network, DNS, proxy, firewall",
        "failures": 4,
        "metrics": 0,
        "missing": {},
        "dead": [],
        "rejects": {"dead market": 3},
        "budget": None,
        "rejected": [],
    }
    fine = {"state": "ok", "since": None, "reason": None, "advice": None, "metrics": 2}
    assert watched.describe_state() == failing | fine


async def test_one_that_asks_us_to_stay_away_is_left_alone_so_long(source: Invented, watched: SupervisedSource):
    source.trouble = SourceRefused("invented said 429", wait=150)

    with capture_logs() as logs:
        await watched.read(NOON)
        source.trouble = None
        came = [bool(await watched.read(NOON + 60 * minute)) for minute in range(1, 5)]

    assert source.opened == 2
    assert source.fetched == [NOON + 180, NOON + 240]
    assert came == [False, False, True, True]
    assert logs[0]["reason"] == "invented said 429; retry after 150 s"


async def test_the_wait_begins_with_the_answer_and_not_with_the_tick(source: Invented, watched: SupervisedSource):
    source.trouble = SourceRefused("invented said 429", wait=60)
    await watched.read(NOON)
    source.trouble = None

    too_soon = await watched.read(NOON + 60)

    assert too_soon == {}
    assert await watched.read(NOON + 120)


async def test_it_is_not_opened_either_while_it_asks_us_to_stay_away(source: Invented, watched: SupervisedSource):
    source.trouble = SourceRefused("invented said 429", wait=100)
    await watched.open(NOON)

    await watched.open(NOON + 60)

    assert source.opened == 1


async def test_an_opening_that_fails_is_tried_again_at_the_next_tick(source: Invented, watched: SupervisedSource):
    source.trouble = SourceUnreachable("no answer")
    with capture_logs() as logs:
        await watched.open(NOON)
        await watched.read(NOON)
        source.trouble = None
        readings = await watched.read(NOON + 60)

    assert readings.keys() == {BTC, ETH}
    assert told(logs) == ["source fails", "source is back"]
    assert source.opened == 3


async def test_an_answer_that_does_not_come_ends_at_our_timeout(source: Invented, session: ClientSession):
    watched = SupervisedSource(source, session, timeout=0.05)
    await watched.open(NOON)
    source.gate.clear()

    readings = await watched.read(NOON)

    assert readings == {}
    assert watched.describe_state()["reason"] == "invented took longer than 0.05 s"


async def test_opening_holds_up_nobody_longer_than_that_and_goes_on_meanwhile(source: Invented, session: ClientSession):
    watched = SupervisedSource(source, session, timeout=0.05)
    source.gate.clear()

    await watched.open(NOON)
    first = await watched.read(NOON + 60)
    source.gate.set()
    second = await watched.read(NOON + 120)

    assert first == {}
    assert second.keys() == {BTC, ETH}
    assert source.opened == 1


async def test_an_opening_that_fails_after_our_timeout_is_tried_again(source: Invented, session: ClientSession):
    watched = SupervisedSource(source, session, timeout=0.05)
    source.gate.clear()
    await watched.open(NOON)
    source.trouble = SourceUnreachable("no answer")
    source.gate.set()
    await watched.read(NOON + 60)

    source.trouble = None
    readings = await watched.read(NOON + 120)

    assert readings.keys() == {BTC, ETH}
    assert source.opened == 2


async def test_it_tells_once_that_a_source_has_come_back(source: Invented, watched: SupervisedSource):
    said = []

    for minute, trouble in enumerate([None, SourceUnreachable("gone"), SourceUnreachable("gone"), None, None]):
        source.trouble = trouble
        await watched.read(NOON + 60 * minute)
        said.append(watched.take_recovery())

    assert said == [False, False, False, True, False]


async def test_a_mistake_of_ours_is_not_taken_for_a_failure_of_the_source(source: Invented, watched: SupervisedSource):
    await watched.open(NOON)
    source.reading = None  # type: ignore[assignment, method-assign]  # the mistake

    with pytest.raises(TypeError):
        await watched.read(NOON)


async def test_two_who_need_it_at_once_open_it_once(source: Invented, watched: SupervisedSource):
    await asyncio.gather(watched.open(NOON), watched.read(NOON))

    assert source.opened == 1
