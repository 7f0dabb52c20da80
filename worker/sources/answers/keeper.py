"""Takes in every answer that a source's request has, and has it written beside the sampling, which never waits for it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import structlog
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse
from yarl import URL

from worker.sources.answers.files import AnswerFiles
from worker.sources.answers.lines import HIDDEN, KEPT_HEADERS, KeptAnswer, KeptTick, hide_secrets
from worker.sources.asking import CURRENT, Asking
from worker.sources.base import KNOWN_ENCODINGS, read_body

log = structlog.get_logger()

MOST_WAITING = 64 * 1024 * 1024
"""Bytes of bodies that wait to be written, at most; where a disk is so slow, answers are left out."""
ENCODING = "Content-Encoding"


class AnswerKeeper:
    """
    Keeps answers in `files`. `bases` are the addresses of the sources, by name; `secrets` are never written.

    A disk that takes nothing costs the answers of that time, and one line in the log.
    """

    def __init__(
        self,
        files: AnswerFiles,
        bases: Mapping[str, str],
        secrets: tuple[str, ...] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._files = files
        self._paths = {name: URL(base).raw_path.rstrip("/") for name, base in bases.items()}
        self._secrets = [secret.encode() for secret in secrets if secret]
        self._clock = clock
        self._waiting: list[KeptAnswer | KeptTick] = []
        self._bytes = 0
        self._has_some = asyncio.Event()
        self._newest = 0
        self._is_over = False
        self._has_failed = False
        self.left_out = 0
        """Answers that were not kept."""

    def note_tick(self, at: int) -> None:
        """Take in that the sources are asked for tick `at`."""
        if at != self._newest:
            self._newest = at
            self._put(KeptTick(at))

    async def keep(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Hand a request on, and take in its answer: a middleware of aiohttp's client."""
        asking = CURRENT.get()
        if asking is None or asking.source not in self._paths:
            return await handler(request)
        url = self._shorten(request.url, asking.source)
        try:
            response = await handler(request)
            body = await read_body(response)
            # So that the source finds it, too: `read` remembers what it reads, and knows no bound.
            response._body = body  # noqa: SLF001
        except BaseException as error:
            self._put(KeptAnswer(asking.at, asking.source, asking.asked_for, url, failure=type(error).__name__))
            raise
        self._put(self._make_answer(asking, url, response, body))
        return response

    def _make_answer(self, asking: Asking, url: str, response: ClientResponse, body: bytes) -> KeptAnswer:
        headers = {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers}
        encoding = response.headers.get(ENCODING, "")
        if encoding.strip().lower() not in KNOWN_ENCODINGS:
            headers[ENCODING] = encoding
        for secret in self._secrets:
            body = body.replace(secret, HIDDEN.encode())
        return KeptAnswer(asking.at, asking.source, asking.asked_for, url, response.status, headers, body)

    def _shorten(self, url: URL, source: str) -> str:
        """Return what of an address follows that of the settings, in which there may be secrets."""
        return hide_secrets(url.raw_path_qs.removeprefix(self._paths[source]))

    def _put(self, kept: KeptAnswer | KeptTick) -> None:
        size = len(kept.body) if isinstance(kept, KeptAnswer) else 0
        if self._bytes + size > MOST_WAITING:
            self.left_out += 1
            return
        self._bytes += size
        self._waiting.append(kept)
        self._has_some.set()

    async def run(self) -> None:
        """Write what comes, until `end` is called."""
        while not self._is_over:
            await self._has_some.wait()
            await self._write()

    def end(self) -> None:
        """Have `run` end after what it is writing: a thread that writes cannot be cancelled."""
        self._is_over = True
        self._has_some.set()

    async def _write(self) -> None:
        self._has_some.clear()
        kept, self._waiting, self._bytes = self._waiting, [], 0
        if not kept:
            return
        try:
            await asyncio.to_thread(self._files.write, kept, int(self._clock()))
        except OSError as error:
            self._files.close()
            self.left_out += len(kept)
            if not self._has_failed:
                log.warning("answers of providers are not kept", reason=str(error))
            self._has_failed = True
        else:
            if self._has_failed:
                log.info("answers of providers are kept again", left_out=self.left_out)
            self._has_failed = False

    async def close(self) -> None:
        """Write the rest, and end the file."""
        await self._write()
        await asyncio.to_thread(self._files.close)


@asynccontextmanager
async def run_keeper(keeper: AnswerKeeper) -> AsyncIterator[AnswerKeeper]:
    """Have answers written until the end."""
    task = asyncio.create_task(keeper.run())
    try:
        yield keeper
    finally:
        keeper.end()
        await task
        await keeper.close()
