"""Fixtures for tests of channels: a server whose answers a test sets, and which keeps its requests."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from tests.support.alerts import alert
from tests.support.loopback import serving
from worker.latest.delivery import OutgoingMessage
from worker.latest.messages import make_link, write_digest, write_single

PAGE = "http://127.0.0.1:8000"


class End:
    """The server that a channel sends to: it keeps the requests, and answers what `says` returns."""

    def __init__(self) -> None:
        self.asked: list[tuple[web.BaseRequest, bytes]] = []
        self.says: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]] = self.taken

    async def taken(self, _: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text="fine")

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request, await request.read()))
        return await self.says(request)

    @asynccontextmanager
    async def served(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.answer)
        async with serving(app) as base:
            yield base


@pytest.fixture
def end() -> End:
    return End()


@pytest.fixture
async def base(end: End) -> AsyncIterator[str]:
    async with end.served() as address:
        yield address


def message(**fields) -> OutgoingMessage:
    about = alert(**fields)
    text = write_single(about, 60)
    return OutgoingMessage(about.id, text, about.severity, about.at, make_link(PAGE, about), (about,))


def many(count: int) -> OutgoingMessage:
    alerts = tuple(alert(f"KRAKEN:C{number:03}USD", group_size=count) for number in range(count))
    return OutgoingMessage(
        "spike.digest.1621260300", write_digest(alerts, 60), "warning", alerts[0].at, f"{PAGE}/", alerts
    )


def says(status: int, text: str = "", **headers: str) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, text=text, headers=named)

    return answer
