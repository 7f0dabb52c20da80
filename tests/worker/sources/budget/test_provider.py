"""One budget for all processes: in Redis while that answers, by what each knows while it does not; a ban is everybody's."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientSession
from redis.asyncio import Redis
from structlog.testing import capture_logs

from tests.support.budgets import SELDOM, Fleet, Time, make_binance, serving_weighed
from tests.support.shared import shared
from v1.store import budgets, connect, keys
from v1.store.budgets import read_provider_usage
from worker.latest.store import BudgetStore, ProviderUsage, StoreAway
from worker.sources.budget import KRAKEN, BudgetSpent, BudgetTerms, ProviderBudget, Purpose
from worker.sources.errors import SourceRefused

NOW = 1_795_812_000.0
SMALL = BudgetTerms("weight", amount=100)
MINUTE = 60


class FlakyStore:
    """Keeps a usage in memory, as Redis does for several processes, and is away when it is told to be."""

    def __init__(self) -> None:
        self.usage = ProviderUsage()
        self.is_away = False

    async def update(
        self, _: str, change: Callable[[ProviderUsage], tuple[ProviderUsage, Any]]
    ) -> tuple[ProviderUsage, Any]:
        await asyncio.sleep(0)
        if self.is_away:
            raise StoreAway("Redis is away: refused")
        self.usage, answer = change(self.usage)
        return self.usage, answer


def make_budget(store: Any, time: Time, terms: BudgetTerms = SMALL) -> ProviderBudget:
    return ProviderBudget("binance:host:direct", terms, store=store, clock=time, steady=time, sleep=time.sleep)


async def spend(budget: ProviderBudget, cost: int, purpose: Purpose = Purpose.TICK, used: int | None = None) -> None:
    async with budget.request(cost, purpose) as call:
        call.used = used


async def count_granted(budget: ProviderBudget, cost: int, purpose: Purpose = Purpose.TICK) -> int:
    """Return how many requests in a row are granted, at the most 100."""
    for number in range(100):
        try:
            await spend(budget, cost, purpose)
        except BudgetSpent:
            return number
    return 100


async def test_all_processes_draw_on_one_budget(redis: Redis):
    time = Time(NOW)
    made = [make_budget(BudgetStore(redis), time) for _ in range(4)]

    granted = await asyncio.gather(*[count_granted(budget, 5) for budget in made])

    assert sum(granted) * 5 == 95
    kept = read_provider_usage(await redis.get(keys.budget("binance:host:direct")))
    assert sum(kept.slots.values()) == 95


async def test_a_ban_that_one_is_given_is_everybodys(redis: Redis):
    time = Time(NOW)
    first, second = (make_budget(BudgetStore(redis), time) for _ in range(2))

    with pytest.raises(SourceRefused) as caught:
        async with first.request(2, Purpose.TICK):
            raise SourceRefused("binance answered 418", 300)
    assert caught.value.until == NOW + 300

    for budget in (first, second):
        with pytest.raises(BudgetSpent, match=r"binance is not asked before .*: binance answered 418") as refused:
            await spend(budget, 2)
        assert (refused.value.wait, refused.value.until) == (300, NOW + 300)
        assert budget.describe()["banned_until"] == NOW + 300

    time.now += 300
    await spend(second, 2)
    assert second.describe()["banned_until"] is None


async def test_another_provider_is_asked_during_a_ban(redis: Redis):
    time, store = Time(NOW), BudgetStore(redis)
    banned = make_budget(store, time)
    other = ProviderBudget("kraken:host:direct", KRAKEN, store=store, clock=time, steady=time, sleep=time.sleep)
    with pytest.raises(SourceRefused):
        async with banned.request(2, Purpose.TICK):
            raise SourceRefused("binance answered 429", 60)

    await spend(other, 1)

    assert other.requests[Purpose.TICK] == 1


async def test_a_refusal_without_a_wait_keeps_nobody_away(redis: Redis):
    budget = make_budget(BudgetStore(redis), Time(NOW))

    with pytest.raises(SourceRefused):
        async with budget.request(2, Purpose.TICK):
            raise SourceRefused("binance answered 400")

    await spend(budget, 2)


async def test_a_request_that_is_cut_off_counts_as_answered_then():
    time, store = Time(NOW), FlakyStore()
    budget, reached = make_budget(store, time), asyncio.Event()

    async def hang() -> None:
        async with budget.request(95, Purpose.TICK):
            reached.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(hang())
    await reached.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    time.now += 61
    await spend(budget, 95)


async def test_a_tick_does_not_wait_for_ever_where_the_window_is_full():
    time = Time(NOW)
    full = make_budget(FlakyStore(), time)
    await spend(full, 95)
    with pytest.raises(BudgetSpent, match="95 of 95 weight are used in 60 s") as refused:
        await spend(full, 1)
    assert refused.value.wait is None, "the next tick asks again"


async def test_what_fills_the_past_waits_until_there_is_room():
    time = Time(NOW)
    budget = make_budget(FlakyStore(), time)
    await spend(budget, 95)

    await spend(budget, 2, Purpose.FILL)

    assert 61 <= time.now - NOW < 64


async def test_without_redis_ticks_take_what_is_left_and_never_more():
    time, store = Time(NOW), FlakyStore()
    budget = make_budget(store, time)
    store.is_away = True

    assert await count_granted(budget, 1) == 95


async def test_without_redis_a_process_uses_a_quarter_for_all_but_ticks():
    time, store = Time(NOW), FlakyStore()
    made = [make_budget(store, time) for _ in range(4)]
    store.is_away = True

    granted = [await count_granted(budget, 1, Purpose.MARKETS) for budget in made]

    assert granted == [23, 23, 23, 23], "95 % of a quarter of 100, four times"
    assert not any(budget.describe()["is_shared"] for budget in made)


async def test_a_redis_that_hangs_holds_up_no_request(monkeypatch: pytest.MonkeyPatch):
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    monkeypatch.setattr(budgets, "ANSWER_SECONDS", 0.05)
    async with await asyncio.start_server(hang, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"redis://127.0.0.1:{port}", "tests") as redis:
            budget = make_budget(BudgetStore(redis), Time(NOW))
            with capture_logs() as logs:
                assert await count_granted(budget, 5) == 19

    assert [log["event"] for log in logs] == ["the budget of a provider is counted by this process alone"]


async def test_a_process_that_loses_redis_goes_on_from_what_all_have_used():
    time, store = Time(NOW), FlakyStore()
    first, second = make_budget(store, time), make_budget(store, time)
    await spend(first, 80)
    await spend(second, 5)
    store.is_away = True

    assert await count_granted(second, 1) == 10, "of 95, 85 were used by both"


async def test_what_was_asked_without_redis_is_told_when_it_is_back():
    time, store = Time(NOW), FlakyStore()
    first, second = make_budget(store, time), make_budget(store, time)
    await spend(first, 1)
    store.is_away = True
    await spend(first, 10)
    store.is_away = False
    time.now += 6

    await spend(first, 1)

    assert sum(store.usage.slots.values()) == 12
    assert first.describe()["is_shared"]
    await spend(second, 83)
    assert await count_granted(second, 1) == 0


async def test_a_request_that_began_without_redis_and_ended_with_it_counts_once():
    time, store = Time(NOW), FlakyStore()
    budget = make_budget(store, time)
    store.is_away = True
    async with budget.request(10, Purpose.TICK):
        store.is_away = False
        time.now += 6
        await spend(budget, 1)
    await spend(budget, 1)

    assert sum(store.usage.slots.values()) == 12


async def test_a_ban_without_redis_is_told_when_it_is_back():
    time, store = Time(NOW), FlakyStore()
    first, second = make_budget(store, time), make_budget(store, time)
    store.is_away = True
    with pytest.raises(SourceRefused):
        async with first.request(2, Purpose.TICK):
            raise SourceRefused("binance answered 418", 300)
    with pytest.raises(BudgetSpent):
        await spend(first, 2)
    store.is_away = False
    time.now += 6
    with pytest.raises(BudgetSpent):
        await spend(first, 2)

    with pytest.raises(BudgetSpent) as refused:
        await spend(second, 2)

    assert refused.value.until == NOW + 300


async def test_a_redis_that_lost_everything_learns_again_what_a_process_used():
    time, store = Time(NOW), FlakyStore()
    budget = make_budget(store, time)
    await spend(budget, 90)
    store.usage = ProviderUsage()

    assert await count_granted(budget, 1) == 5


async def test_concurrent_requests_are_counted_once_each(redis: Redis):
    time = Time(NOW)
    made = [make_budget(BudgetStore(redis), time) for _ in range(2)]

    await asyncio.gather(*[spend(budget, 1) for budget in made for _ in range(30)])

    kept = read_provider_usage(await redis.get(keys.budget("binance:host:direct")))
    assert kept.slots == {int(NOW): 60}
    assert [budget.requests[Purpose.TICK] for budget in made] == [30, 30]


async def test_a_key_with_something_else_in_it_is_an_unused_budget(redis: Redis):
    for wrong in ("no json", "[1]", '{"slots": 7}', '{"unheard": 1}', '{"slots": {"x": 1}}'):
        await redis.set(keys.budget("binance:host:direct"), wrong, ex=MINUTE)
        await spend(make_budget(BudgetStore(redis), Time(NOW)), 95)


@asynccontextmanager
async def four_workers(server: str, time: Time, limit: int) -> AsyncIterator[Fleet]:
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(connect(server, "tests"))
        provider, base = await stack.enter_async_context(serving_weighed(shared("recorded"), time, limit))
        session = await stack.enter_async_context(ClientSession())
        sources = [make_binance(base, session, BudgetStore(redis), time, limit=limit) for _ in range(4)]
        yield Fleet(provider, sources)


async def test_four_workers_never_use_more_than_is_ours(server: str):
    time = Time(NOW)
    async with four_workers(server, time, limit=200) as fleet:
        for second in range(0, 2 * MINUTE, SELDOM):
            await fleet.work(time.move_to(NOW + second))

        assert fleet.provider.most_in_a_minute <= 190
        assert fleet.provider.most_in_a_minute > 150, "what is ours is used"
        assert not fleet.provider.refused


async def test_nobody_asks_during_a_ban_and_everybody_within_a_tick_of_its_end(server: str):
    time = Time(NOW)
    async with four_workers(server, time, limit=200) as fleet:
        await fleet.work(NOW)
        fleet.provider.ban(seconds=150.5)
        await fleet.sources[0].read(int(time.move_to(NOW + MINUTE)))
        (refused_at,) = fleet.provider.refused

        for tick in range(2, 6):
            await asyncio.gather(*[source.read(int(time.move_to(NOW + tick * MINUTE))) for source in fleet.sources])

        assert fleet.provider.refused == [refused_at], "only the request that was told of the ban"
        later = sorted({at for at, _ in fleet.provider.arrived if at > refused_at})
        assert later[0] == NOW + 4 * MINUTE, "the first tick after the ban"
        assert all(source.describe_state()["state"] == "ok" for source in fleet.sources)
