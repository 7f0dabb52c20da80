"""
Sources are asked by whoever has their leases, on a real cluster and by real sources: what becomes of it is the same as
where one worker asks them all, whoever is killed, banned, or late.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientSession, web
from redis.asyncio import Redis
from structlog.testing import capture_logs

from tests.support.askers import (
    AGENT,
    NAMES,
    Asking,
    AskingMate,
    count_asked,
    find_holder,
    make_real_sources,
    only_for,
    renew,
)
from tests.support.cluster import RunningCluster
from tests.support.crew import Crew, read_shared
from tests.support.invented import Beats
from tests.support.loopback import ASKED, FAULTS, providers, serving
from tests.support.loopback.faults import hang, reset, says
from tests.support.serving import MINUTE
from tests.support.shared import shared
from v1.market.slot_marking import TickEvidence
from v1.market.slots import SlotReason
from v1.rules import NO_RULES
from v1.store import BudgetStore, StoreAway, Writer, connect, keys
from v1.store.sharing.source_turns import SourceTurn
from worker.latest import HOUR, Candle, Metric
from worker.sampling.sharing.source_share import GIVE_UP_TICKS
from worker.sampling.tick import commit_tick
from worker.sources.budget import BINANCE, ProviderBudget
from worker.sources.supervised import SupervisedSource

PARTITIONS = 4
MORNING = 1_762_820_220
TICKS = range(MORNING, MORNING + 4 * MINUTE, MINUTE)
TICKERS = {"kraken": "/0/public/Ticker", "binance": "/api/v3/ticker/24hr", "coinbase": "/products/BTC-USD/ticker"}
"""What each source asks for at a tick."""


class Clock:
    """Says what the test says."""

    now = float(MORNING)

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def app(clock: Clock) -> web.Application:
    return providers(shared("recorded"), clock)


@pytest.fixture
async def base(app: web.Application) -> AsyncIterator[str]:
    async with serving(app) as address:
        yield address


@pytest.fixture
async def store(cluster: RunningCluster) -> AsyncIterator[Redis]:
    async with connect(cluster.url, "tests", partitions=PARTITIONS) as redis:
        yield redis


@asynccontextmanager
async def open_mates(
    redis: Redis, base: str, clock: Clock, names: Sequence[str] = ("one", "two")
) -> AsyncIterator[tuple[Crew, list[AskingMate]]]:
    """Return workers that have divided the sources, and commit partitions."""
    crew = Crew(redis, NO_RULES, names)
    async with AsyncExitStack() as stack:
        mates = []
        for name in names:
            session = await stack.enter_async_context(ClientSession(headers={AGENT: name}))
            budget = ProviderBudget(f"binance:loopback:{name}", BINANCE, store=BudgetStore(redis), clock=clock)
            mates.append(AskingMate(redis, crew.mates[name], make_real_sources(base, budget), session, clock))
        await crew.open()
        stack.push_async_callback(crew.close)
        await renew(crew)
        yield crew, mates
        for mate in mates:
            for source in mate.sources:
                source.cancel_requests()


async def read_tick(home: AskingMate, others: Sequence[AskingMate], at: int, clock: Clock) -> Any:
    """Return the readings of a tick and why others are not there; the others ask for whoever is `home`."""
    clock.now = at + 0.5
    async with asyncio.timeout(120):
        found, *_ = await asyncio.gather(home.asking.read(at), *[other.ask_all(at) for other in others])
    return found


async def play_alone(server: str, base: str, clock: Clock, app: web.Application) -> tuple[Any, list[Counter[str]]]:
    """Return what one worker on one node leaves, and what was asked at each tick."""
    asked = []
    async with connect(server, "tests") as redis, ClientSession() as session:
        store = Writer(redis)
        await store.lease.take_or_keep("alone")
        await store.open()
        asking = Asking([SupervisedSource(source, session, 60) for source in make_real_sources(base)], clock)
        for at in TICKS:
            clock.now = at + 0.5
            readings, absences = await asking.read(at)
            evidence = TickEvidence(MINUTE, await store.read_tick(), absences.explain)
            await commit_tick(at, readings, store, NO_RULES, 0, evidence)
            asked.append(count_asked(app))
        return await read_market(redis), asked


async def read_market(redis: Redis) -> Mapping[str, Any]:
    found = await read_shared(redis)
    return {key: found[key] for key in found if key != keys.PARTITIONS and not str(key).startswith(keys.budget(""))}


async def test_two_workers_divide_the_sources_and_leave_what_one_leaves_and_ask_what_one_asks(
    server: str, store: Redis, base: str, clock: Clock, app: web.Application
):
    whole, asked = await play_alone(server, base, clock, app)
    agents: dict[str, set[str]] = {}

    async with open_mates(store, base, clock) as (crew, (one, two)):
        assert sorted(len(mate.share.leases.held) for mate in (one, two)) == [1, 2]
        for place, at in enumerate(TICKS):
            readings, absences = await read_tick(one, [two], at, clock)
            for request in app[ASKED]:
                agents.setdefault(request.path, set()).add(request.headers[AGENT])
            assert count_asked(app) == asked[place]
            await crew.commit(at, readings, await crew.home.read_tick(), absences)
        holders = {name: find_holder([one, two], name).share.name for name in NAMES}

        assert {name: agents[path] for name, path in TICKERS.items()} == {name: {holders[name]} for name in NAMES}
        assert await read_market(store) == whole


async def test_what_another_worker_asks_looks_as_if_it_was_asked_here(store: Redis, base: str, clock: Clock):
    async with open_mates(store, base, clock) as (_, (one, two)):
        for at in TICKS:
            await read_tick(one, [two], at, clock)
        for name in two.share.leases.held:
            here, there = one.find(name), two.find(name)

            assert here.is_known
            assert not here.source.metrics
            assert here.metrics == [*there.metrics]
            for said in ("dead", "closed", "listed", "missing", "absence", "received"):
                assert getattr(here, said) == getattr(there, said), said
            assert here.describe_state() == there.describe_state() | {"metrics": len(here.given)}
            assert one.asking.feeds[name] == (TICKS[-1], clock.now)


async def test_a_worker_that_is_killed_in_the_middle_of_its_answers_costs_no_sample(
    store: Redis, base: str, clock: Clock, app: web.Application
):
    async with open_mates(store, base, clock) as (crew, (one, two)):
        before, _ = await read_tick(one, [two], TICKS[0], clock)
        held = two.share.leases.held
        for name in held:
            app[FAULTS][TICKERS[name]] = only_for("two", hang())
        clock.now = TICKS[1] + 0.5
        asking = asyncio.create_task(two.ask_all(TICKS[1]))
        reading = asyncio.create_task(one.asking.read(TICKS[1]))
        async with asyncio.timeout(60):
            while not any(request.headers[AGENT] == "two" for request in app[ASKED]):
                await asyncio.sleep(0.01)
            asking.cancel()
            await crew.bury("two")
            readings, _ = await reading

        assert held
        assert readings.keys() == before.keys()
        await renew(crew)
        assert one.share.leases.held == {*NAMES}


async def test_a_worker_that_has_a_source_and_does_not_begin_is_not_waited_for(
    store: Redis, base: str, clock: Clock, app: web.Application
):
    async with open_mates(store, base, clock) as (_, (one, two)):
        before, _ = await read_tick(one, [two], TICKS[0], clock)
        one.share.begin_seconds = 0.01
        app[ASKED].clear()

        readings, _ = await read_tick(one, [], TICKS[1], clock)
        asked = count_asked(app)
        await two.ask_all(TICKS[1])

        assert readings.keys() == before.keys()
        assert asked
        assert not count_asked(app)  # it is late, and the tick is asked for already


async def test_a_source_that_bans_a_worker_is_asked_by_another_after_three_ticks(
    store: Redis, base: str, clock: Clock, app: web.Application
):
    async with open_mates(store, base, clock) as (crew, (one, two)):
        banned = min(two.share.leases.held)
        app[FAULTS][TICKERS[banned]] = only_for("two", says({"error": "banned"}, 403))
        with capture_logs() as logs:
            for at in range(MORNING, MORNING + GIVE_UP_TICKS * MINUTE, MINUTE):
                assert two.share.is_ours(banned)
                readings, absences = await read_tick(one, [two], at, clock)
                assert not any(heard.source == banned for heard in readings.values())
                assert one.find(banned).absence == SlotReason.REFUSED
                assert absences.sources[NAMES.index(banned)].reason == SlotReason.REFUSED
                await renew(crew)
        whole, _ = await read_tick(one, [two], MORNING + GIVE_UP_TICKS * MINUTE, clock)

        assert one.share.is_ours(banned)
        assert two.share.avoided == [banned]
        assert banned in {heard.source for heard in whole.values()}
        (left,) = [line for line in logs if line["event"].startswith("a source is left to another worker")]
        assert (left["source"], left["reason"]) == (banned, SlotReason.REFUSED)
        assert one.share.leases.held | two.share.leases.held == {*NAMES}


async def test_a_ban_of_one_address_is_no_ban_of_another(store: Redis, base: str, clock: Clock, app: web.Application):
    async with open_mates(store, base, clock) as (crew, mates):
        banned = find_holder(mates, "binance")
        (other,) = [mate for mate in mates if mate is not banned]
        ban = says({"code": -1003, "msg": "Way too many requests; IP banned."}, 418, Retry_After="86400")
        app[FAULTS][TICKERS["binance"]] = only_for(banned.share.name, ban)
        for at in range(MORNING, MORNING + GIVE_UP_TICKS * MINUTE, MINUTE):
            await read_tick(other, [banned], at, clock)
            await renew(crew)

        readings, _ = await read_tick(other, [banned], MORNING + GIVE_UP_TICKS * MINUTE, clock)

        assert other.share.is_ours("binance")
        assert "binance" in {heard.source for heard in readings.values()}
        asked = [request for request in app[ASKED] if request.path == TICKERS["binance"]]
        assert [request.headers[AGENT] for request in asked] == [banned.share.name, other.share.name]


async def test_who_hands_out_ticks_and_is_banned_leaves_the_source_to_another(
    store: Redis, base: str, clock: Clock, app: web.Application
):
    async with open_mates(store, base, clock) as (crew, (one, two)):
        banned = min(one.share.leases.held)
        app[FAULTS][TICKERS[banned]] = only_for("one", reset())
        for at in range(MORNING, MORNING + GIVE_UP_TICKS * MINUTE, MINUTE):
            await read_tick(one, [two], at, clock)
            await renew(crew)

        readings, _ = await read_tick(one, [two], MORNING + GIVE_UP_TICKS * MINUTE, clock)

        assert two.share.is_ours(banned)
        assert banned in {heard.source for heard in readings.values()}
        assert one.find(banned).take_recovery()


async def test_a_source_that_nobody_else_is_able_to_ask_is_not_given_up(
    store: Redis, base: str, clock: Clock, app: web.Application
):
    async with open_mates(store, base, clock) as (crew, (one, two)):
        banned = min(one.share.leases.held)
        app[FAULTS][TICKERS[banned]] = reset()
        for at in range(MORNING, MORNING + 2 * GIVE_UP_TICKS * MINUTE, MINUTE):
            await read_tick(one, [two], at, clock)
            await renew(crew)

        assert two.share.is_ours(banned)
        assert (one.share.avoided, two.share.avoided) == ([banned], [])


async def test_a_source_that_a_worker_avoids_is_its_own_again_after_a_while(store: Redis, base: str, clock: Clock):
    async with open_mates(store, base, clock) as (_, (one, _two)):
        source, now = min(one.share.leases.held), [0.0]
        one.share._clock = lambda: now[0]
        for _ in range(GIVE_UP_TICKS):
            one.share.note_outcome(source, SlotReason.NO_ANSWER)
        note = one.share.describe(one.mate.membership._note)
        now[0] = 601.0
        later = one.share.describe(one.mate.membership._note)

        assert ([*note.avoided], source in note.able) == ([source], False)
        assert ([*later.avoided], source in later.able) == ([], True)


async def test_two_failures_and_an_answer_between_give_nothing_up(store: Redis, base: str, clock: Clock):
    async with open_mates(store, base, clock) as (_, (one, _two)):
        source = min(one.share.leases.held)
        for absence in (SlotReason.NO_ANSWER, SlotReason.NO_ANSWER, None, SlotReason.NO_ANSWER, SlotReason.INVALID):
            one.share.note_outcome(source, absence)

        assert one.share.avoided == []


@pytest.mark.parametrize(
    "holder,asking,longest",
    [
        (None, None, 0.0),
        (None, "two", 0.0),
        ("one", None, 0.0),
        ("two", None, 5.0),
        ("two", "three", 5.0),
        ("two", "two", 36.0),
    ],
)
async def test_another_worker_is_waited_for_as_long_as_it_may_take(
    store: Redis, base: str, clock: Clock, holder: str | None, asking: str | None, longest: float
):
    async with open_mates(store, base, clock) as (_, (one, _two)):
        one.share.begin_seconds = 5.0
        turn = SourceTurn(holder, asking, None)

        assert one.share._should_wait(turn, longest - 0.001, 36.0) is (longest > 0)
        assert not one.share._should_wait(turn, longest, 36.0)


@pytest.mark.parametrize("waited,left", [(0.0, 48.0), (5.0, 48.0), (36.0, 21.0), (59.0, 6.0)])
async def test_who_asks_after_all_has_what_is_left_of_the_interval(
    store: Redis, base: str, clock: Clock, waited: float, left: float
):
    async with open_mates(store, base, clock) as (_, (one, _two)):
        source = one.find("kraken")
        source._limit = 48.0
        await source.read_here(TICKS[0], waited)

        assert source._timeout == pytest.approx(left)


async def test_while_the_store_is_away_whoever_hands_out_ticks_asks_all_and_nobody_else_asks(
    store: Redis, base: str, clock: Clock, app: web.Application, monkeypatch: pytest.MonkeyPatch
):
    async def is_away(*_: Any) -> Any:
        raise StoreAway("gone")

    async with open_mates(store, base, clock) as (_, (one, two)):
        before, _ = await read_tick(one, [two], TICKS[0], clock)
        for mate in (one, two):
            for method in ("read", "begin", "take", "write"):
                monkeypatch.setattr(mate.share.turns, method, is_away)
        app[ASKED].clear()

        readings, _ = await read_tick(one, [two], TICKS[1], clock)

        assert readings.keys() == before.keys()
        assert {request.headers[AGENT] for request in app[ASKED]} == {"one"}


async def test_an_answer_of_a_worker_that_has_lost_the_lease_is_not_taken(store: Redis, base: str, clock: Clock):
    async with open_mates(store, base, clock) as (_, (one, two)):
        name = min(two.share.leases.held)
        await store.set(keys.asker(name), "one:77")
        with capture_logs() as logs:
            await two.ask_all(TICKS[0])

        assert (await one.share.turns.read(name, TICKS[0])).answer is None
        assert not two.share.leases.busy
        assert [line["source"] for line in logs if line["event"] == "what a source said is not left"] == [name]


async def test_a_source_in_the_middle_of_its_answer_is_kept_until_it_has_answered(
    store: Redis, base: str, clock: Clock
):
    async with open_mates(store, base, clock) as (_, (_one, two)):
        leases, name = two.share.leases, min(two.share.leases.held)
        leases.busy = frozenset({name})
        await leases.keep_wished(())
        assert leases.held == {name}

        leases.busy = frozenset()
        await leases.keep_wished(())
        assert leases.held == frozenset()
        assert await store.get(keys.asker(name)) is None


async def test_candles_of_a_source_that_another_worker_asks_are_asked_for_by_whoever_fills(
    store: Redis, base: str, clock: Clock
):
    async with open_mates(store, base, clock) as (_, (one, two)):
        await read_tick(one, [two], TICKS[0], clock)
        source = one.find(min(two.share.leases.held))
        metric = Metric(source.metrics[0])

        candles = await source.fetch_candles(metric, TICKS[0] - 10 * MINUTE, TICKS[0])

        assert len(candles) > 5


async def test_what_is_left_of_a_tick_is_forgotten_after_a_while(store: Redis, base: str, clock: Clock):
    async with open_mates(store, base, clock) as (_, (one, two)):
        await read_tick(one, [two], TICKS[0], clock)
        name = min(two.share.leases.held)

        for key in (keys.source_turn(name, TICKS[0]), keys.source_answer(name, TICKS[0])):
            assert 0 < await store.ttl(key) <= 2 * MINUTE


class Followed:
    """Streams that only note what they are to follow."""

    def __init__(self) -> None:
        self.symbols: list[Mapping[Metric, str]] = []

    def follow(self, symbols: Mapping[Metric, str]) -> None:
        self.symbols.append(dict(symbols))

    def stop(self) -> None:
        """Nothing is open."""

    async def fetch(self, at: int, metrics: Any, dead: Any, ask: Any) -> Any:
        del metrics, dead
        return await ask(at)

    def find_hour(self, metric: Metric, hour: int) -> Candle | None:
        return Candle(hour, "1", "2", "0.5", "1.5", "10") if self.symbols and metric in self.symbols[-1] else None


async def test_streams_are_opened_where_the_lease_is_and_closed_where_it_was(store: Redis, base: str, clock: Clock):
    async with open_mates(store, base, clock) as (crew, (one, two)):
        sources = [one.find("kraken"), two.find("kraken")]
        streams = [Followed(), Followed()]
        for source, stream in zip(sources, streams, strict=True):
            source.streamed = stream  # type: ignore[assignment]  # as far as it is used here
        first = 0 if one.share.is_ours("kraken") else 1
        await read_tick(one, [two], TICKS[0], clock)
        assert [bool(stream.symbols[-1]) for stream in streams] == [first == 0, first == 1]

        (one, two)[first].share._avoided_until = {"kraken": float("inf")}
        await renew(crew)
        await read_tick(one, [two], TICKS[1], clock)

        assert [bool(stream.symbols[-1]) for stream in streams] == [first == 1, first == 0]


async def test_hours_that_streams_brought_to_another_worker_are_told_to_whoever_archives_them(
    store: Redis, base: str, clock: Clock
):
    async with open_mates(store, base, clock) as (_, mates):
        holder = find_holder(mates, "kraken")
        (home,) = [mate for mate in mates if mate is not holder]
        for mate in mates:
            mate.find("kraken").streamed = Followed()  # type: ignore[assignment]  # as far as it is used here
        hour = TICKS[0] // HOUR * HOUR
        before, after = hour + HOUR, hour + HOUR + MINUTE
        await read_tick(home, [holder], before, clock)
        source = home.find("kraken")
        metric = source.metrics[0]
        assert source.find_streamed_hour(metric, hour) is None

        for at in (after, after + MINUTE):
            await read_tick(home, [holder], at, clock)

            assert source.find_streamed_hour(metric, hour) == Candle(hour, "1", "2", "0.5", "1.5", "10")
            assert source.find_streamed_hour(metric, hour + HOUR) is None


async def test_ticks_at_which_nobody_handed_out_are_there_as_far_as_other_workers_asked(
    store: Redis, base: str, clock: Clock
):
    async with open_mates(store, base, clock) as (crew, (one, two)):
        whole, _ = await read_tick(one, [two], TICKS[0], clock)
        held = two.share.leases.held
        clock.now = TICKS[1] + 0.5
        await two.ask_all(TICKS[1])  # whoever hands out ticks is killed before it
        await crew.bury("one")
        await renew(crew)
        assert two.share.leases.held == {*NAMES}

        clock.now = TICKS[2] + 0.5
        two.share.missed = frozenset({TICKS[1]})
        missed, absences = await two.asking.read(TICKS[1])
        now, _ = await two.asking.read(TICKS[2])

        assert {heard.source for heard in missed.values()} == held
        assert {each.name: each.reason for each in absences.sources if each.name not in held} == dict.fromkeys(
            {*NAMES} - held, SlotReason.NOT_RUNNING
        )
        assert now.keys() == whole.keys()


async def follow_one_tick(mate: AskingMate, at: int) -> None:
    """Have a worker go on at a tick, and look at its leases, until it is told to stop."""
    beats = Beats()
    beats.beat(at)
    await mate.asker.run(aiter(beats))


async def test_who_gets_a_source_of_a_worker_that_was_killed_asks_it_for_the_tick_that_nobody_asked_it_for(
    store: Redis, base: str, clock: Clock, app: web.Application
):
    async with open_mates(store, base, clock, ("one", "two", "three")) as (crew, (one, two, three)):
        whole, _ = await read_tick(one, [two, three], TICKS[0], clock)
        clock.now = TICKS[1] + 0.5
        running = [asyncio.create_task(follow_one_tick(mate, TICKS[1])) for mate in (two, three)]
        await crew.bury("one")
        async with asyncio.timeout(120):
            while not all([(await two.share.turns.read(name, TICKS[1])).answer for name in NAMES]):
                await renew(crew)
                await asyncio.sleep(0.01)
        for task in running:
            task.cancel()
        app[ASKED].clear()
        two.is_home, two.share.missed = True, frozenset({TICKS[1]})
        readings, _ = await two.asking.read(TICKS[1])

        assert readings.keys() == whole.keys()
        assert not app[ASKED]


async def test_who_gets_a_source_of_a_worker_that_lives_does_not_ask_it_again(
    store: Redis, base: str, clock: Clock, app: web.Application
):
    async with open_mates(store, base, clock) as (_, (one, two)):
        await read_tick(one, [two], TICKS[0], clock)
        app[ASKED].clear()
        for mate in (one, two):
            mate.asker._newest = TICKS[0]
            mate.share.leases._tokens = dict.fromkeys(NAMES, f"{mate.share.name}:0")
            await mate.asker.ask_gained()

        assert not app[ASKED]


async def test_a_source_that_was_got_long_after_a_tick_is_asked_at_the_next(
    store: Redis, base: str, clock: Clock, app: web.Application
):
    async with open_mates(store, base, clock) as (_, (_one, two)):
        two.asker._newest = TICKS[0]
        clock.now = TICKS[0] + 31.0
        await two.asker.ask_gained()
        assert not app[ASKED]

        two.asker._had = frozenset()
        clock.now = TICKS[0] + 29.0
        await two.asker.ask_gained()
        assert app[ASKED]
