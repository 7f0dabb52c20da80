"""Has the routes make an answer, once for all who ask the same at the same time."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from starlette.types import ASGIApp, Message, Scope

from ...routes.negotiation import GZIP
from ...routes.questions import ChangeFeed
from ...routes.responses import TERMS, AnswerTerms
from .encodings import SLOW
from .memory import AnswerMemory, KnownForm, PendingAnswer
from .prepared import CollectedAnswer, PreparedAnswer
from .request import RequestForm, strip_request


class AnswerReader:
    """Makes answers by the routes behind it; `clock` says the time, in unix seconds."""

    def __init__(self, app: ASGIApp, memory: AnswerMemory, clock: Callable[[], float]) -> None:
        self._app = app
        self._memory = memory
        self._clock = clock

    async def read(self, scope: Scope, codings: Sequence[str]) -> PreparedAnswer:
        """Return an answer that nobody else gets, for who accepts these codings. Raises what the routes raise."""
        # The second before they begin: made in the next, an answer is dropped too early and not too late.
        made = int(self._clock())
        is_gzip_wanted = next((coding for coding in codings if coding != SLOW), None) == GZIP
        return PreparedAnswer(
            await _collect(self._app, strip_request(scope), AnswerTerms(is_gzip_wanted=is_gzip_wanted)), made
        )

    async def read_shared(self, form: RequestForm, known: KnownForm, scope: Scope) -> PreparedAnswer:
        """
        Return the answer to the question of a slot, made once for all who wait for it now, and have it kept.

        Who gives up waiting takes it from nobody else. An error is told to who asked in the same words, and not kept.
        """
        statistics, slot, codings = self._memory.statistics, known.slot, known.codings
        if not self._memory.most_bytes or not _is_told_of_changes(scope):
            # What changes meanwhile would not be known: one who asks after a change must not get what was read before.
            statistics.misses += 1
            statistics.not_kept += 1
            return await self.read(scope, codings)
        pending = slot.pending
        if pending is None:
            statistics.misses += 1
            pending = self._begin(form, known, scope)
        else:
            statistics.joined += 1
        answer = await asyncio.shield(pending.task)
        if answer.lasts == 0 and pending.form != form:
            return await self.read(scope, codings)
        return answer

    def _begin(self, form: RequestForm, known: KnownForm, scope: Scope) -> PendingAnswer:
        slot = known.slot
        pending = PendingAnswer(form, asyncio.create_task(self.read(scope, known.codings)))
        self._memory.begin(slot, pending)

        def finish(task: asyncio.Task[PreparedAnswer]) -> None:
            answer = None
            # An error is raised by who waits for the task; here it is only taken notice of.
            with suppress(Exception, asyncio.CancelledError):
                answer = task.result()
            is_kept = answer is not None and answer.lasts and _is_told_of_changes(scope)
            self._memory.finish(slot, pending, answer if is_kept else None)

        pending.task.add_done_callback(finish)
        return pending


def _is_told_of_changes(scope: Scope) -> bool:
    feed: ChangeFeed | None = scope.get("state", {}).get("changes")
    return feed is not None and feed.is_live


async def _collect(app: ASGIApp, scope: Scope, terms: AnswerTerms) -> CollectedAnswer:
    """Return what an application answers to a request without a body."""
    started, parts = dict[str, Message](), list[bytes]()
    is_over = asyncio.Event()

    async def receive() -> Message:
        if "request" not in started:
            started["request"] = {"type": "http.request", "body": b"", "more_body": False}
            return started["request"]
        await is_over.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            started["response"] = message
        else:
            parts.append(message.get("body", b""))

    await app({**scope, TERMS: terms}, receive, send)
    is_over.set()
    start = started["response"]
    return CollectedAnswer(start["status"], tuple(start["headers"]), b"".join(parts), terms.is_brief, terms.gzip)
