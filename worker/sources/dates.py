"""What providers' answers say of the time: their `Date`, told to whoever watches the clock. No number is read here."""

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace

from aiohttp import ClientSession, TraceConfig, TraceRequestEndParams

from worker.clock.wall import Ask

Hear = Callable[[str, str | None, str | None], None]
"""Takes a host, the `Date` of its answer and, where a cache had that, its `Age`."""


def make_date_trace(hear: Hear) -> TraceConfig:
    """Return what tells of every answer of a session, the good ones and the others."""

    async def heard(_session: ClientSession, _context: SimpleNamespace, params: TraceRequestEndParams) -> None:
        headers = params.response.headers
        hear(params.url.host or "", headers.get("Date"), headers.get("Age"))

    trace = TraceConfig()
    trace.on_request_end.append(heard)
    return trace


def make_asker(session: ClientSession, address: str) -> Ask:
    """Return what asks an address for its time: any answer has one, and a HEAD costs nobody anything."""
    return partial(_ask, session, address)


async def _ask(session: ClientSession, address: str) -> None:
    async with session.head(address, allow_redirects=False, headers={"Cache-Control": "no-cache"}):
        pass
