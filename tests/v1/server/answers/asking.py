"""The layer that keeps answers, alone: over routes that count how often they are asked, with a subscription of its own."""

import asyncio
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

from fastapi import FastAPI

from tests.support.serving import Clock
from v1.model import Metric
from v1.server.answers import AnswerCache, AnswerMemory
from v1.server.app import create_app
from v1.settings import Settings
from v1.store import EVERYTHING, Change, ChangeKind

HISTORY = "/v1/metrics/KRAKEN:BTCUSD/history"
BTC, ETH = Metric("KRAKEN:BTCUSD"), Metric("KRAKEN:ETHUSD")
LATE_BTC = Change(ChangeKind.SAMPLES, metric=BTC, hour=0)
TICK = Change(ChangeKind.TICK, tick=60)


@cache
def make_routes() -> FastAPI:
    """Return the application, for the routes that it has."""
    return create_app(Settings(redis_url="redis://127.0.0.1:1", bind="127.0.0.1:0"))


class Got(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


class Routes:
    """In place of the routes: answers as it was told to, and counts."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.status = 200
        self.body = b"x" * 100
        self.headers = {"content-type": "text/plain", "cache-control": "public, max-age=50", "etag": '"tag"'}
        self.error: Exception | None = None
        self.is_brief = False
        self.gzip: bytes | None = None
        """The body in gzip, as a route makes it that can."""
        self.is_open = asyncio.Event()
        """An answer waits for it."""
        self.is_open.set()
        self.is_asked = asyncio.Event()

    @property
    def count(self) -> int:
        return len(self.asked)

    async def __call__(self, scope, _, send) -> None:
        self.asked.append(scope)
        status, body, headers, error = self.status, self.body, self.headers, self.error
        self.is_asked.set()
        await self.is_open.wait()
        if error is not None:
            raise error
        if self.is_brief:
            scope["answer_terms"].is_brief = True
        if self.gzip and scope["answer_terms"].is_gzip_wanted:
            scope["answer_terms"].gzip = self.gzip
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": body[:10], "more_body": True})
        await send({"type": "http.response.body", "body": body[10:]})


class Feed:
    """In place of the subscription."""

    is_live = True


class Asker:
    """Asks the layer."""

    def __init__(self, most_bytes: int = 2**20, origins: tuple[str, ...] = (), wrap: Callable[..., Any] | None = None):
        self.clock, self.routes, self.feed = Clock(), Routes(), Feed()
        self.memory = AnswerMemory(most_bytes)
        self.cache = AnswerCache(self.routes, self.memory, self.clock, origins)
        self.app = wrap(self.cache) if wrap else self.cache

    @property
    def statistics(self):
        return self.memory.statistics

    def lose_subscription(self) -> None:
        self.feed.is_live = False
        self.memory.note_change(EVERYTHING)

    async def get(self, path: str = HISTORY, query: str = "", method: str = "GET", **headers: str) -> Got:
        named = [(name.lower().replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        sent: list[Any] = []

        async def send(message) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "headers": named,
            "state": {"changes": self.feed},
            "app": make_routes(),
        }
        await self.app(scope, None, send)
        start, *parts = sent
        known = {name.decode().lower(): value.decode() for name, value in start["headers"]}
        return Got(start["status"], known, b"".join([part["body"] for part in parts]))
