"""A Binance on loopback that counts weight in windows that slide and bans beyond it, and workers that ask it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, web

from tests.support.loopback import FAULTS, providers, serving
from worker.latest import Metric
from worker.latest.store import BudgetStore
from worker.sources.binance import BinanceSource
from worker.sources.budget import BINANCE, ProviderBudget
from worker.sources.supervised import SupervisedSource

METRICS = ("BINANCE:BTCUSDT", "BINANCE:ETHUSDT")
MINUTE = 60
SELDOM = 10
"""Seconds between two looks of a worker that works in simulated time."""


class Time:
    """Says what it is told, and goes on while somebody sleeps."""

    def __init__(self, now: float) -> None:
        self.now = now
        self.slept = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += seconds
        await asyncio.sleep(0)

    def move_to(self, now: float) -> float:
        """Let it be so late, or later where it is already; return the time."""
        self.now = max(self.now, now)
        return self.now


@dataclass
class WeighingProvider:
    """Counts the weight that arrives; bans whoever asks for more than `limit` in any minute."""

    clock: Callable[[], float]
    limit: int
    ban_seconds: float = 120.0
    arrived: list[tuple[float, int]] = field(default_factory=list)
    """When each request arrived, and what it weighed."""
    ticks: list[float] = field(default_factory=list)
    """When requests for a tick's prices arrived that were answered."""
    refused: list[float] = field(default_factory=list)
    """When requests arrived that were refused."""
    banned_until: float = 0.0
    most_in_a_minute: int = 0

    def ban(self, seconds: float) -> None:
        """Ban from now on, as if somebody else at the same address had asked for too much."""
        self.banned_until = self.clock() + seconds

    async def weigh(self, request: web.Request) -> web.StreamResponse | None:
        """Count a request, and refuse it where it is too much; a fault of the loopback provider."""
        now = self.clock()
        if now < self.banned_until:
            self.refused.append(now)
            return self._answer_banned(now)
        self.arrived.append((now, weigh_request(request)))
        within = sum(weight for at, weight in self.arrived if at > now - MINUTE)
        self.most_in_a_minute = max(self.most_in_a_minute, within)
        if within > self.limit:
            self.ban(self.ban_seconds)
            self.refused.append(now)
            return self._answer_banned(now)
        if request.path.endswith("ticker/24hr"):
            self.ticks.append(now)
        return None

    def _answer_banned(self, now: float) -> web.Response:
        until = ceil(self.banned_until * 1000)
        said = f"Way too much request weight used; IP banned until {until}. Please use WebSocket Streams."
        after = {"Retry-After": f"{ceil(self.banned_until - now)}"}
        return web.json_response({"code": -1003, "msg": said}, status=418, headers=after)


def weigh_request(request: web.Request) -> int:
    """Return what the documentation says that a request weighs."""
    symbols = request.query.get("symbols")
    named = symbols.count(",") + 1 if symbols else 0
    match request.path.removeprefix("/api/v3/"):
        case "exchangeInfo":
            return 20
        case "ticker/24hr":
            return 80 if not named or named > 100 else 40 if named > 20 else 2
        case "ticker":
            return min(4 * named, 200)
        case _:
            return 2


@asynccontextmanager
async def serving_weighed(
    recorded: Path, clock: Callable[[], float], limit: int, port: int = 0
) -> AsyncIterator[tuple[WeighingProvider, str]]:
    """Serve recorded answers, weighed; give what was weighed and the address."""
    app, provider = providers(recorded, clock), WeighingProvider(clock, limit)
    for path in ("exchangeInfo", "ticker/24hr", "ticker", "klines"):
        app[FAULTS][f"/api/v3/{path}"] = provider.weigh
    async with serving(app, port) as base:
        yield provider, base


class _LimitedBinance(BinanceSource):
    """Asks a provider whose `exchangeInfo` names another limit than the one that it holds to."""

    def __init__(self, base: str, budget: ProviderBudget, limit: int) -> None:
        super().__init__(base, METRICS, MINUTE, budget)
        self._held = limit

    async def open(self, session: ClientSession) -> Mapping[Metric, str]:
        missing = await super().open(session)
        self.budget.set_amount(self._held)
        return missing


def make_binance(
    base: str, session: ClientSession, store: BudgetStore, time: Time | None = None, *, limit: int
) -> SupervisedSource:
    """Return what a worker process has of Binance: a source, and its own view of the budget that all share."""
    terms = BINANCE._replace(amount=limit)
    timed: dict[str, Any] = {} if time is None else {"clock": time, "steady": time, "sleep": time.sleep}
    budget = ProviderBudget("binance:loopback:direct", terms, store=store, **timed)
    return SupervisedSource(_LimitedBinance(base, budget, limit), session, timeout=MINUTE)


@dataclass
class Fleet:
    """Workers that share an address."""

    provider: WeighingProvider
    sources: Sequence[SupervisedSource]

    async def work(self, now: float) -> None:
        """Let each worker ask for a tick, and for candles, as often as it may."""
        await asyncio.gather(*[self._work_one(source, int(now)) for source in self.sources])

    async def _work_one(self, source: SupervisedSource, now: int) -> None:
        await source.read(now)
        for metric in source.metrics:
            await _fill(source, Metric(metric), now)


async def _fill(source: SupervisedSource, metric: Metric, now: int) -> None:
    await source.fetch_candles(metric, now - MINUTE, now)
