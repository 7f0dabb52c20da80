"""
The three roles in three processes, each killed at random and started again, in time that passes faster.

`python -m tests.support.top_killing ROLE REDIS BASE START WALL SPEED` is one of them: its clock said START when
the machine's said WALL, and runs SPEED times as fast.
"""

import asyncio
import random
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import structlog
import uvloop
from aiohttp import ClientSession

from tests.support.loopback import TopProviders
from tests.support.loopback.cryptocompare import cmc_id_of
from worker.latest import MINUTE
from worker.latest.archive import TopArchiveWriter, connect_archive
from worker.latest.store import connect
from worker.latest.toplist import ListStore, QuotaStore, TopList, TopWriter
from worker.settings import WorkerSettings
from worker.sources.coinmarketcap import CoinMarketCap
from worker.sources.cryptocompare import CryptoCompare
from worker.toplist import roles
from worker.toplist.roles import RoleClock, TopListProviders, TopListStores

ROOT = Path(__file__).resolve().parents[2]
SIZE = 100
UP = b"up\n"
GIVEN = {
    "sources": "kraken",
    "top_size": SIZE,
    "top_margin": 60,
    "coinmarketcap_api_key": "key",
    "coinmarketcap_credits": 10_000,
    "cryptocompare_api_key": "key",
    "cryptocompare_calls": 11_000,
}
INTERVAL = 300
"""Seconds between two lists of 100 coins, on the free plans."""


class Hurry(NamedTuple):
    """A clock that began to run at `wall`, saying `start`."""

    start: int
    wall: float
    speed: float

    def now(self) -> float:
        return self.start + (time.time() - self.wall) * self.speed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self.speed)


class HurriedListings(ListStore):
    speed = 1.0

    async def wait_for_news(self, prices_at: int, ranks_at: int, seconds: float) -> tuple[int, int]:
        return await super().wait_for_news(prices_at, ranks_at, seconds / self.speed)


async def run(role: str, redis: str, base: str, hurry: Hurry) -> None:
    given = WorkerSettings.load(**GIVEN)
    nowhere = f"sqlite+aiosqlite:///{ROOT}/nowhere/at/all"  # the archive has tests of its own
    async with (
        connect(redis, role) as client,
        connect_archive(nowhere, role, writes=False) as engine,
        ClientSession() as session,
    ):
        listings = HurriedListings(client)
        listings.speed = hurry.speed
        stores = TopListStores(listings, QuotaStore(client), TopWriter(client), TopArchiveWriter(engine))
        listers = TopListProviders(CoinMarketCap(session, base, "key", SIZE), CryptoCompare(session, base, "key", SIZE))
        sys.stdout.buffer.write(UP)
        sys.stdout.buffer.flush()
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
        await roles.run_roles(given, [role], stores, listers, RoleClock(hurry.now, hurry.sleep))


@asynccontextmanager
async def process(role: str, redis: str, base: str, hurry: Hurry) -> AsyncIterator[Process]:
    """Start a role, and go on when it is about to do its work; kill it at the end."""
    words = ("-m", "tests.support.top_killing", role, redis, base, *map(str, hurry))
    started = await asyncio.create_subprocess_exec(sys.executable, *words, cwd=ROOT, stdout=PIPE)
    try:
        assert started.stdout
        await started.stdout.readuntil(UP)
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.wait()


class Killer:
    """Starts all roles and kills each so many times, up to so many seconds after it has begun. Then it lets them run."""

    def __init__(self, redis: str, base: str, hurry: Hurry, kills: int, seconds: float) -> None:
        self._where = (redis, base, hurry)
        self._kills = kills
        self._seconds = seconds
        self._alive = asyncio.Semaphore(0)

    @asynccontextmanager
    async def killing(self) -> AsyncIterator[None]:
        """Go on when every role was killed for the last time; stop them at the end."""
        async with asyncio.TaskGroup() as tasks:
            going = [tasks.create_task(self._go(role, random.Random(role))) for role in roles.NAMES]
            for _ in going:
                await self._alive.acquire()
            yield
            for each in going:
                each.cancel()

    async def _go(self, role: str, dice: random.Random) -> None:
        for _ in range(self._kills):
            async with process(role, *self._where) as running:
                await asyncio.sleep(dice.random() * self._seconds)
                running.send_signal(signal.SIGKILL)
                await running.wait()
        async with process(role, *self._where):
            self._alive.release()
            await asyncio.Event().wait()


def is_right(snapshot: TopList, providers: TopProviders) -> bool:
    """Return whether all rows are of one answer of each provider, given at the time that the snapshot says or soon after."""
    told = [(coin.rank, coin.symbol, coin.price_usd) for coin in snapshot.coins]
    soon = range(0, INTERVAL, MINUTE)
    return any(
        told == joined(providers, snapshot.prices.at + prices, snapshot.ranks.at + ranks)
        for prices in soon
        for ranks in soon
    )


def joined(providers: TopProviders, prices_at: int, ranks_at: int) -> list[tuple[int, str, str | None]]:
    """Make rank, symbol and price of the providers' own coins, by another way than the product's."""
    coins = providers.coins
    by_id = {coin.id: coins.price(coin, prices_at) for coin in coins.all}
    places = {coin.id: place for place, coin in enumerate(coins.all)}
    ordered = sorted(coins.all, key=lambda coin: Decimal(coins.volume(coin, ranks_at)), reverse=True)
    return [
        (rank, coin.symbol, None if cmc_id_of(coin, places[coin.id]) is None else by_id[coin.id])
        for rank, coin in enumerate(ordered, 1)
    ]


if __name__ == "__main__":
    named, address, url, start, wall, speed = sys.argv[1:]
    uvloop.run(run(named, address, url, Hurry(int(start), float(wall), float(speed))))
