"""Keeps one group of symbols delivered: connects again after a failure, and replaces a connection before it is cut."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import ClientSession

from .connection import StreamConnection

log = structlog.get_logger()

FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
"""Seconds before it is connected again, doubled after each try that failed."""
RENEWAL_SECONDS = 60.0
"""At most so often a connection is replaced by another one."""
LOOK_SECONDS = 1.0

Sleep = Callable[[float], Awaitable[None]]


class StreamSlot:
    """
    One group of symbols. `connect` makes a connection for them, and `ended` is told of each that is over.

    A connection that is to be replaced goes on until the next one delivers everything.
    """

    def __init__(
        self,
        name: str,
        session: ClientSession,
        connect: Callable[[], StreamConnection],
        ended: Callable[[StreamConnection], None],
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._name = name
        self._session = session
        self._connect = connect
        self._ended = ended
        self._sleep = sleep
        self._current = connect()
        self._should_renew = False
        self._logged = ""
        self._running: set[asyncio.Task[str]] = set()

    @property
    def current(self) -> StreamConnection:
        return self._current

    def renew(self) -> None:
        """Have the connection replaced: some of what it should deliver does not come."""
        self._should_renew = True

    async def run(self) -> None:
        """Keep the group delivered, for ever."""
        wait = FIRST_WAIT
        try:
            while True:
                task = self._start(self._current)
                was_live = await self._follow(task)
                wait = FIRST_WAIT if was_live else min(2 * wait, LONGEST_WAIT)
                await self._sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311  # so that not all come at once
                self._current = self._connect()
        finally:
            for task in self._running:
                task.cancel()

    def _start(self, connection: StreamConnection) -> asyncio.Task[str]:
        task = asyncio.create_task(self._run_connection(connection))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def _run_connection(self, connection: StreamConnection) -> str:
        try:
            return await connection.run(self._session)
        finally:
            self._ended(connection)

    async def _follow(self, task: asyncio.Task[str]) -> bool:
        """Return when no connection is left, and whether one delivered; a connection that ages is replaced meanwhile."""
        was_live, renewed = False, 0.0
        while not task.done():
            await asyncio.wait([task], timeout=LOOK_SECONDS)
            was_live = was_live or self._current.live.is_set()
            now = asyncio.get_running_loop().time()
            if task.done() or not (self._should_renew or self._current.is_ageing):
                continue
            if self._current.live.is_set() and now - renewed >= RENEWAL_SECONDS:
                renewed, self._should_renew = now, False
                task = await self._replace(task)
        self._log_end(task, was_live=was_live)
        return was_live

    async def _replace(self, task: asyncio.Task[str]) -> asyncio.Task[str]:
        """Return the task of a new connection that delivers everything, or the old one's where none does."""
        successor = self._connect()
        started, live = self._start(successor), asyncio.create_task(successor.live.wait())
        await asyncio.wait([started, live], return_when=asyncio.FIRST_COMPLETED)
        live.cancel()
        if started.done():
            log.info("a stream could not be replaced", source=self._name, reason=started.result())
            return task
        self._current = successor
        task.cancel()
        log.debug("a stream was replaced by a new connection", source=self._name)
        return started

    def _log_end(self, task: asyncio.Task[str], *, was_live: bool) -> None:
        """Log why a connection ended: once, for as long as tries go on to fail for the same reason."""
        error = task.exception()
        reason = task.result() if error is None else f"{type(error).__name__}: {error}"
        if was_live or reason != self._logged:
            log.warning("a stream ended; requests are made instead until it is back", source=self._name, reason=reason)
        self._logged = reason
