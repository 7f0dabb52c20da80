"""Has the routes make an answer, once for all who ask the same at the same time."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from starlette.types import ASGIApp, Message, Scope

from ...routes.direct import ENDED_WITH, DirectCall, DirectRoutes
from ...routes.negotiation import GZIP
from ...routes.questions import ChangeFeed
from ...routes.responses import TERMS, AnswerTerms
from ..middleware import add_security_headers
from .encodings import SLOW
from .memory import AnswerMemory, KnownForm, PendingAnswer
from .prepared import CollectedAnswer, PreparedAnswer
from .request import RequestForm, strip_request


class AnswerReader:
    """
    Makes answers by the routes behind it; `clock` says the time, in unix seconds.

    Of `direct` routes the function is called without the middleware in between, which does nothing else with a good
    answer to such a request than `add_security_headers`. `None`: there is more to it.
    """

    def __init__(
        self, app: ASGIApp, memory: AnswerMemory, clock: Callable[[], float], direct: DirectRoutes | None
    ) -> None:
        self._app = app
        self._memory = memory
        self._clock = clock
        self._direct = direct

    async def read(self, scope: Scope, codings: Sequence[str]) -> PreparedAnswer:
        """Return an answer that nobody else gets, for who accepts these codings. Raises what the routes raise."""
        # The second before they begin: made in the next, an answer is dropped too early and not too late.
        made = int(self._clock())
        terms = AnswerTerms(is_gzip_wanted=next((coding for coding in codings if coding != SLOW), None) == GZIP)
        stripped = {**strip_request(scope), TERMS: terms}
        call = self._direct.find_call(stripped) if self._direct else None
        answer = await self._answer_directly(call, stripped, terms) if call else None
        return PreparedAnswer(answer or await _collect(self._app, stripped, terms), made)

    async def _answer_directly(self, call: DirectCall, scope: Scope, terms: AnswerTerms) -> CollectedAnswer | None:
        """Return a good answer; `None` where there was an error, which is put into the scope for who answers those."""
        try:
            response = await call.respond(scope, _RequestBody().receive)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is raised again
            scope[ENDED_WITH] = error
            return None
        headers = tuple(add_security_headers(response.raw_headers))
        return CollectedAnswer(response.status_code, headers, bytes(response.body), terms.is_brief, terms.gzip)

    async def read_shared(self, form: RequestForm, known: KnownForm, scope: Scope) -> PreparedAnswer:
        """
        Return the answer to the question of a slot, made once for all who wait for it now, and have it kept.

        Who gives up waiting takes it from nobody else. An error is told to who asked in the same words, and not kept.
        """
        statistics, slot, codings = self._memory.statistics, known.slot, known.codings
        if not _is_told_of_changes(scope):
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


class _RequestBody:
    """An empty body, and then silence until the answer is complete."""

    def __init__(self) -> None:
        self._is_sent = False
        self._is_over: asyncio.Event | None = None

    async def receive(self) -> Message:
        if not self._is_sent:
            self._is_sent = True
            return {"type": "http.request", "body": b"", "more_body": False}
        self._is_over = self._is_over or asyncio.Event()
        await self._is_over.wait()
        return {"type": "http.disconnect"}

    def end(self) -> None:
        if self._is_over:
            self._is_over.set()


async def _collect(app: ASGIApp, scope: Scope, terms: AnswerTerms) -> CollectedAnswer:
    """Return what an application answers to a request without a body."""
    started, parts, body = dict[str, Message](), list[bytes](), _RequestBody()

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            started["response"] = message
        else:
            parts.append(message.get("body", b""))

    await app(scope, body.receive, send)
    body.end()
    start = started["response"]
    return CollectedAnswer(start["status"], tuple(start["headers"]), b"".join(parts), terms.is_brief, terms.gzip)
