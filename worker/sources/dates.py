"""What providers' answers say of the time: their `Date`, told to whoever watches the clock. No number is read here."""

from collections.abc import Awaitable, Callable
from functools import partial
from types import SimpleNamespace

from aiohttp import ClientSession, TraceConfig, TraceRequestEndParams

from worker.clock.wall import Ask

NoteDate = Callable[[str, str | None, str | None], None]
"""Takes a host, the `Date` of its answer and, where a cache had that, its `Age`."""

IsClosed = Callable[[], Awaitable[bool]]
"""Returns whether a provider wants to be left alone."""


def make_date_trace(note_date: NoteDate) -> TraceConfig:
    """Return what tells of every answer of a session, the good ones and the others."""

    async def note_answer(_session: ClientSession, _context: SimpleNamespace, params: TraceRequestEndParams) -> None:
        headers = params.response.headers
        note_date(params.url.host or "", headers.get("Date"), headers.get("Age"))

    trace = TraceConfig()
    trace.on_request_end.append(note_answer)
    return trace


async def _is_never_closed() -> bool:
    return False


def make_asker(session: ClientSession, address: str, is_closed: IsClosed = _is_never_closed) -> Ask:
    """
    Return what asks an address for its time: any answer has one, and a HEAD costs nobody anything.

    Nobody is asked while `is_closed` says that the provider wants to be left alone.
    """
    return partial(_ask, session, address, is_closed)


async def _ask(session: ClientSession, address: str, is_closed: IsClosed) -> None:
    if await is_closed():
        return
    async with session.head(address, allow_redirects=False, headers={"Cache-Control": "no-cache"}):
        pass
