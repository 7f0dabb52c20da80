"""
Four worker processes at one address, which ask a provider for all that they may: it bans whoever asks for more than it
allows in any minute. Then it bans them for somebody else's fault. All weight is counted by the provider itself.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import uvloop
from aiohttp import ClientSession

from bench import processes, servers
from bench.report import Figure, at_least, at_most, beside
from tests.support.budgets import WeighingProvider, make_binance, serving_weighed
from tests.support.shared import SHARED
from worker.latest import MINUTE
from worker.latest.store import BudgetStore, connect
from worker.sources.errors import SourceError
from worker.sources.supervised import SupervisedSource

WORKERS = 4
LIMIT = 400
"""Weight a minute. Ticks take 60 of it, so there is much for the fill to quarrel about."""
INTERVAL = 10
BUSY_SECONDS, BAN_SECONDS, AFTER_SECONDS = 2.5 * MINUTE, 44.5, 2.0 * INTERVAL
TOLD_SECONDS = 1.0
"""Requests that were on their way when the first of them was told of the ban arrive by then."""


class Observed(NamedTuple):
    """What the provider saw."""

    provider: WeighingProvider
    ban: tuple[float, float]


def measure() -> Iterator[Figure]:
    if not (SHARED / "recorded").exists():
        yield beside("the budget", "not measured", "the recorded answers are not on this machine")
        return
    yield from uvloop.run(_measure())


async def _measure() -> Sequence[Figure]:
    async with servers.running(next(servers.binaries())) as server, _serve() as (provider, base):
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            for _ in range(WORKERS):
                stack.enter_context(processes.started(folder, "bench.budget", base, server.address))
            await asyncio.sleep(BUSY_SECONDS)
            began = time.time()
            provider.ban(BAN_SECONDS)
            await asyncio.sleep(BAN_SECONDS + AFTER_SECONDS)
        return _make_figures(Observed(provider, (began, provider.banned_until)), server.name)


@asynccontextmanager
async def _serve() -> AsyncIterator[tuple[WeighingProvider, str]]:
    async with serving_weighed(SHARED / "recorded", time.time, LIMIT) as served:
        yield served


def _make_figures(seen: Observed, server: str) -> Sequence[Figure]:
    provider, (began, ends) = seen
    how = f"{WORKERS} processes for {BUSY_SECONDS:g} s, {len(provider.arrived)} requests answered, {server}"
    before, told = ([at for at in provider.refused if at < began], [at for at in provider.refused if at >= began])
    late = [at for at in told if at > told[0] + TOLD_SECONDS]
    tick = min((at for at in provider.ticks if at >= ends), default=float("inf"))
    used = provider.most_in_a_minute / LIMIT
    during = f"{BAN_SECONDS:g} s, from {TOLD_SECONDS:g} s after the first answer that told of it; {len(told)} told of it in all"
    return [
        at_most("the most of the limit in any minute", used, 0.95, "", how),
        at_least("and what is allowed is used", used, 0.85, "", how),
        at_most("requests that were refused before the ban", len(before), 0, "", how),
        at_least(
            "workers that the ban was told of, so that it was one", len(told), 1, "", "one or more at the same moment"
        ),
        at_most("requests during the ban", len(late), 0, "", during),
        at_most(
            "from the end of the ban to the next tick's prices",
            tick - ends,
            INTERVAL,
            " s",
            f"a tick each {INTERVAL} s",
        ),
    ]


async def work(base: str, address: str) -> None:
    """Be one of the workers, until stopped: ask for each tick, and for candles without end."""
    async with connect(address, "bench") as redis, ClientSession() as session:
        source = make_binance(base, session, BudgetStore(redis), limit=LIMIT)
        await asyncio.gather(_tick(source), _fill(source))


async def _tick(source: SupervisedSource) -> None:
    while True:
        at = int(time.time()) // INTERVAL * INTERVAL + INTERVAL
        await asyncio.sleep(at - time.time())
        await source.read(at)


async def _fill(source: SupervisedSource) -> None:
    while True:
        now = int(time.time()) // MINUTE * MINUTE
        for metric in source.metrics:
            with suppress(SourceError):
                await source.fetch_candles(metric, now - MINUTE, now)
        await asyncio.sleep(0.02)


if __name__ == "__main__":
    uvloop.run(partial(work, *sys.argv[1:])())
