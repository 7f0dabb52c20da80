"""
Answers the requests of sources with what was kept, by a server of its own on a Unix socket: the sources' own code asks
as it does a provider, and whatever it makes of an answer it makes again.
"""

import tempfile
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import ClientSession, UnixConnector, web

from worker.sources.answers.lines import KeptAnswer, hide_secrets
from worker.sources.asking import AskedFor

SCHEME = "http://"
"""A source is asked at `http://<its name>`; no host has a colon in its name, so there is a point instead."""
CCXT, CCXT_HOST = "ccxt:", "ccxt."


class AnswerPlayer:
    """What is answered at the current tick."""

    def __init__(self) -> None:
        self._tick: dict[tuple[str, str], deque[KeptAnswer]] = {}
        self._markets: dict[tuple[str, str], KeptAnswer] = {}

    def set_tick(self, answers: Iterable[KeptAnswer]) -> None:
        """Have the answers of a tick in place of those of the one before; those about markets stay until there are newer ones."""
        self._tick = defaultdict(deque)
        for answer in answers:
            if answer.asked_for is AskedFor.MARKETS:
                self.set_markets(answer)
            else:
                self._tick[answer.source, answer.url].append(answer)

    def set_markets(self, answer: KeptAnswer) -> None:
        """Have an answer about markets. One that failed does not take the place of one that did not."""
        place = answer.source, answer.url
        if not answer.failure or place not in self._markets:
            self._markets[place] = answer

    def find(self, source: str, url: str) -> KeptAnswer | None:
        """Return the next answer to a request; `None` where none was kept."""
        place = source, hide_secrets(url)
        waiting = self._tick.get(place)
        return waiting.popleft() if waiting else self._markets.get(place)

    async def respond(self, request: web.Request) -> web.StreamResponse:
        """Answer a request as the provider did; break the connection off where there was no answer."""
        kept = self.find(request.host.partition(":")[0].replace(CCXT_HOST, CCXT), request.path_qs)
        if kept is None or kept.failure:
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        return web.Response(status=kept.status, headers=kept.headers, body=kept.body)


def make_address(source: str) -> str:
    """Return where a source is asked so that the player answers."""
    return f"{SCHEME}{source.replace(CCXT, CCXT_HOST)}"


@asynccontextmanager
async def open_player(player: AnswerPlayer) -> AsyncIterator[ClientSession]:
    """Return a session whose every request is answered by the player."""
    # A body of a provider may be large; what it was asked is not.
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", player.respond)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    # A path of a socket is short, and a folder of tests may be deep.
    with tempfile.TemporaryDirectory(prefix="dt-") as folder:
        socket = Path(folder) / "s"
        await runner.setup()
        try:
            await web.UnixSite(runner, str(socket)).start()
            async with ClientSession(connector=UnixConnector(str(socket))) as session:
                yield session
        finally:
            await runner.cleanup()
