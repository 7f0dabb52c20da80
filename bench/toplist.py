"""
The top list on recorded answers, served on loopback in the providers' places: the merged list beside an
independent join, 24 simulated hours at the limits of the plans, a day's memory, how long an answer takes, and
the three roles in processes of their own, each killed 50 times at random in time that runs thirty times as fast.
"""

import asyncio
import logging
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import pairwise
from math import ceil
from pathlib import Path
from typing import NamedTuple

import structlog
import uvloop
from aiohttp import ClientSession

from bench import processes, servers
from bench.report import Figure, at_most, beside
from tests.support.loopback import TopProviders, serving, top_providers
from tests.support.shared import SHARED
from tests.support.top_hours import NOON, Clock, Roles, prices_plan, ranks_plan
from tests.support.top_killing import INTERVAL, Hurry, Killer, is_right, joined
from v1.store import keys
from worker.latest import DAY, HOUR, MINUTE
from worker.latest.archive import TopArchiveWriter, connect_archive
from worker.latest.toplist import ListStore, QuotaStore, QuotaUsage, TopList, TopWriter
from worker.toplist.quota_plan import QuotaPlan
from worker.toplist.roles import TopListStores

MONTH_END = 1_622_505_600
"""2021-06-01T00:00:00Z."""
NEARLY = 100
"""Units that are left of both plans where they are nearly used up."""
EVERY_MINUTE = (prices_plan(1_000_000), ranks_plan(1_000_000))
ASKED = 2000
"""Answers that are asked for, one after the other over one connection."""
KILLS, KILL_SECONDS, SPEED = 50, 12.0, 30.0


class Day(NamedTuple):
    """What came of a day."""

    beyond: int
    """Calls and credits beyond the plans, and answers that refused any."""
    known: int
    """Minutes that have a snapshot of their own, with its ages."""
    bytes: int
    """All keys of the top list."""
    name: str


def measure() -> Iterator[Figure]:
    if not (SHARED / "market-data" / "toplists").exists():
        yield beside("the top list", "not measured", "the recorded top lists are not on this machine")
        return
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    yield from uvloop.run(_lists())
    yield from _days()
    yield from uvloop.run(_answers())
    yield from uvloop.run(_killed())


async def _lists() -> list[Figure]:
    figures = []
    for coins, what in (
        ("april", "100 coins, prices with up to 18 digits"),
        ("page", "200 coins, six prices with exponents"),
    ):
        async with _providers(Clock(NOON), coins, are_moving=False) as (providers, roles, stores, _):
            await roles.pass_minute()
            snapshot = await stores.top.read_snapshot(NOON)
            assert snapshot is not None
            told = [(coin.rank, coin.symbol, coin.price_usd) for coin in snapshot.coins]
            wanted = joined(providers, NOON, NOON)
            wrong = sum(one != other for one, other in zip(told, wanted, strict=True))
            how = f"{what}; rank, symbol and price of every row, as text"
            figures.append(at_most(f"rows unlike an independent join, list `{coins}`", wrong, 0, "", how))
    return figures


def _days() -> Iterator[Figure]:
    limits = "free plans, 24 simulated hours across the end of a month"
    for what, left in (("as planned", None), (f"with {NEARLY} left of each", NEARLY)):
        day = uvloop.run(_day(MONTH_END - 12 * HOUR, left))
        how = f"{limits}, {what}"
        yield at_most(f"calls or credits beyond the budget, {what}", day.beyond, 0, "", how)
        if left is None:
            yield at_most("minutes whose ages are not known, of 1440", 1440 - day.known, 0, "", how)
            yield beside("a day of it in Redis, 200 coins, lists as the free plans allow", _kilobytes(day), day.name)
    day = uvloop.run(_day(NOON, None, EVERY_MINUTE))
    how = f"{day.name}, {day.bytes / 1440 / 200:.1f} bytes a coin and minute, both lists and all names counted"
    yield beside("a day of it in Redis, 200 coins, new lists every minute", _kilobytes(day), how)


async def _day(start: int, left: int | None, plans: Sequence[QuotaPlan] = ()) -> Day:
    clock = Clock(start)
    async with _providers(clock, "page", plans) as (providers, roles, stores, server):
        month = "2021-05"
        if left is not None:
            providers.prices.spent[month], providers.ranks.made[month] = 10_000 - left, 11_000 - left
            for name, spent in (("coinmarketcap", 10_000 - left), ("cryptocompare", 11_000 - left)):
                await stores.plans.update_usage(name, partial(_used_up, QuotaUsage(month=month, spent=spent)))
        before = await _used(server)
        minutes = [await roles.pass_minute() for _ in range(DAY // MINUTE)]
        used = await _used(server) - before
        uses = [await stores.plans.update_usage(name, lambda use: use) for name in ("coinmarketcap", "cryptocompare")]
        found = [await stores.top.read_snapshot(at) for at in minutes]
        refused = sum(sum(use.faults.values()) for use in uses if use)
        over = 0
        if not plans:
            over += sum(max(0, spent - 10_000) for spent in providers.prices.spent.values())
            over += sum(max(0, made - 11_000) for made in providers.ranks.made.values())
        over += sum(max(0, made - 30) for made in providers.prices.made.values())
        known = sum(each is not None and each.at == at for at, each in zip(minutes, found, strict=True))
        return Day(over + refused, known, used, server.name)


async def _answers() -> list[Figure]:
    async with _providers(Clock(NOON), "page", EVERY_MINUTE) as (_, roles, stores, server):
        now = int(time.time()) // MINUTE * MINUTE
        await roles.pass_minute()
        snapshot = await stores.top.read_snapshot(NOON)
        assert snapshot is not None
        for at in range(now - HOUR, now + 10 * MINUTE, MINUTE):
            await stores.top.write_snapshot(_moved(snapshot, at))
        with tempfile.TemporaryDirectory() as folder, processes.api(Path(folder), server.address) as base:
            async with ClientSession(base) as session:
                newest = await _times(session, "/v1/top?limit=200&format=csv")
                others = [f"/v1/top?limit=200&format=csv&datetime={now - place * MINUTE}" for place in range(60)]
                past = await _times(session, *others)
    how = f"{server.name}, {ASKED} answers of 200 rows, one after the other, median {_median(newest):.2g} ms"
    beside_how = f"{ASKED} answers of 60 different minutes, median {_median(past):.2g} ms"
    return [
        at_most("p99 of `/v1/top?limit=200&format=csv`", _p99(newest), 10, " ms", how),
        at_most("p99 of the same with `datetime=` in the past hour", _p99(past), 10, " ms", beside_how),
    ]


async def _times(session: ClientSession, *paths: str) -> list[float]:
    took = []
    for number in range(ASKED + 50):
        began = time.perf_counter()
        async with session.get(paths[number % len(paths)]) as answer:
            assert (await answer.read()).count(b"\n") == 201
        took.append((time.perf_counter() - began) * 1000)
    return sorted(took[50:])


async def _killed() -> list[Figure]:
    hurry = Hurry(NOON, time.time(), SPEED)
    providers = top_providers(SHARED, hurry.now, coins="april", are_moving=True)
    async with servers.running(next(iter(servers.binaries()))) as server, serving(providers.app) as base:
        top, listings = TopWriter(server.redis), ListStore(server.redis)
        async with Killer(server.address, base, hurry, KILLS, KILL_SECONDS).killing():
            enough = hurry.now() + 2 * INTERVAL
            while (span := await top.read_range()) is None or span.newest < enough:  # noqa: ASYNC110  # others make it
                await asyncio.sleep(0.2)
        minutes = range(span.oldest, span.newest + 1, MINUTE)
        found = [await top.read_snapshot(at) for at in minutes]
        doubled = await server.redis.zcard(keys.TOP) - len({*minutes})
        pairs = {(each.prices.at, each.ranks.at): each for each in found if each}
        wrong = sum(not is_right(each, providers) for each in pairs.values())
        gaps = [await _gap(server.redis, key) for key in (keys.PRICES, keys.RANKINGS)]
        missing = sum(each is None or each.at != at for at, each in zip(minutes, found, strict=True))
        assert await listings.find_oldest_minute() is not None
    how = f"{server.name}, {3 * KILLS} kills, {len(minutes):,} minutes at {SPEED:g} x, one list every {INTERVAL} s"
    return [
        at_most("snapshots that are not of one answer of each provider", wrong, 0, "", how),
        at_most("minutes with two snapshots", max(0, doubled), 0, "", how),
        at_most("minutes without a snapshot", missing, 0, "", how),
        at_most("lists in a row that a kill cost", max(gaps), 1, "", "prices and ranks, between two that are there"),
    ]


async def _gap(redis: object, key: str) -> int:
    """Return the largest number of intervals that went without a list between two lists."""
    entries = await redis.execute_command("XRANGE", key, "-", "+", NEVER_DECODE=True)  # type: ignore[attr-defined]  # redis-py's
    minutes = [int(entry.partition(b"-")[0]) // 1000 for entry, _ in entries]
    return max(ceil((later - earlier) / INTERVAL) - 1 for earlier, later in pairwise(minutes))


@asynccontextmanager
async def _providers(
    clock: Clock, coins: str, plans: Sequence[QuotaPlan] = (), *, are_moving: bool = True
) -> AsyncIterator[tuple[TopProviders, Roles, TopListStores, servers.Server]]:
    """Return providers, roles that ask them, and what these write into."""
    limits = (plans[0].monthly, 30, plans[1].monthly) if plans else (10_000, 30, 11_000)
    providers = top_providers(SHARED, clock, limits, coins=coins, are_moving=are_moving)
    async with (
        servers.running(next(iter(servers.binaries()))) as server,
        serving(providers.app) as base,
        connect_archive("sqlite+aiosqlite:////nowhere/at/all", "bench", writes=False) as engine,
        ClientSession() as session,
    ):
        redis = server.redis
        stores = TopListStores(ListStore(redis), QuotaStore(redis), TopWriter(redis), TopArchiveWriter(engine))
        yield providers, Roles(base, session, stores, clock, *plans), stores, server


def _used_up(wanted: QuotaUsage, _: QuotaUsage) -> QuotaUsage:
    return wanted


def _moved(snapshot: TopList, at: int) -> TopList:
    prices, ranks = (about._replace(at=at) for about in (snapshot.prices, snapshot.ranks))
    coins = [coin._replace(price_time=at - 50, volume_time=at) for coin in snapshot.coins]
    return snapshot._replace(at=at, coins=coins, prices=prices, ranks=ranks)


async def _used(server: servers.Server) -> int:
    return int((await server.redis.info("memory"))["used_memory"])


def _kilobytes(day: Day) -> str:
    return f"{day.bytes / 1000:,.0f} kB"


def _p99(took: Sequence[float]) -> float:
    return took[ceil(len(took) * 0.99) - 1]


def _median(took: Sequence[float]) -> float:
    return took[len(took) // 2]
