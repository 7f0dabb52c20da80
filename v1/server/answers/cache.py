"""Sends what is kept before anything is routed or validated, and has made and keeps what is not."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from http import HTTPStatus

from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from ...routes.direct import DirectRoutes
from ...routes.negotiation import IDENTITY, rank_codings
from ...routes.problems import make_problem
from ...routes.questions import Question, QuestionReader
from .encodings import AT_ONCE, MOST_FOR_BROTLI, SLOW, encode
from .memory import AnswerMemory, AnswerSlot, KnownForm
from .prepared import PreparedAnswer, RawHeaders
from .ranges import RangeNotSatisfiable, find_range, is_unchanged
from .reading import AnswerReader
from .request import CONDITIONAL_HEADERS, FORM_HEADERS, READING, RequestForm, join_headers, read_conditions

ANY = "*"
_ANY_ORIGIN = b"*"
"""Stands for every origin that no answer names."""
MOST_HEADERS = 1024
"""Values of `Accept-Encoding` that are remembered."""
_NO_QUESTION = Question("", (), None, None, "")
"""Stands for all of them where no answer is kept."""


class AnswerCache:
    """
    Answers GET and HEAD from memory. What is not kept goes on to the routes.

    The first time that a request is written in some way, it is found out what it asks for; from then on the bytes of
    its path, its query and its headers lead to the answer. `origins` are those whose pages may ask, `direct` the routes
    that can be called without what is in between.
    """

    def __init__(
        self,
        app: ASGIApp,
        memory: AnswerMemory,
        clock: Callable[[], float],
        origins: Collection[str] = (),
        direct: DirectRoutes | None = None,
    ) -> None:
        self._app = app
        self._memory = memory
        self._forms = memory.forms
        self._statistics = memory.statistics
        self._clock = clock
        self._origins = frozenset(origins)
        self._form_headers = FORM_HEADERS | {b"origin"} if origins else FORM_HEADERS
        # What the pages of named origins are told is added on the way.
        self._reader = AnswerReader(app, memory, clock, None if origins else direct)
        self._codings: dict[bytes, tuple[str, ...]] = {}
        self._routes: Sequence[BaseRoute] = ()
        self._questions = QuestionReader(lambda: self._routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Written out, without a call that is not needed: nearly every request passes here and goes no further.
        if scope["type"] != "http" or scope["method"] not in READING:
            await self._app(scope, receive, send)
            return
        found, is_conditional = [], scope["method"] == "HEAD"
        for header in scope["headers"]:
            if header[0] in self._form_headers:
                found.append(header)
            elif header[0] in CONDITIONAL_HEADERS:
                is_conditional = True
        form = (scope["path"], scope["query_string"], tuple(found))
        known = self._forms.get(form) or self._learn(form, scope)
        if known is None:
            await self._app(scope, receive, send)
            return
        answer, slot, second = known.slot.answer, known.slot, int(self._clock())
        if answer is not None and answer.is_fresh(second):
            self._statistics.hits += 1
            self._memory.touch(slot)
        else:
            answer = await self._reader.read_shared(form, known, scope)
        ready = answer.find_ready(known.codings, second) or await self._make_ready(known, answer, second)
        if is_conditional:
            await self._send_conditional(scope, known, answer, send)
            return
        # Another mapping each time: whoever adds a header on the way must not add it to what is kept.
        await send({"type": "http.response.start", "status": answer.status, "headers": ready[0]})
        await send({"type": "http.response.body", "body": ready[1]})

    def _learn(self, form: RequestForm, scope: Scope) -> KnownForm | None:
        """Find out what a request asks for that was not written like this before; `None`: nothing that is kept."""
        path, query, found = form
        headers, root_path = join_headers(found), scope.get("root_path", "")
        route_path = path.removeprefix(root_path)
        codings = self._rank_codings(headers.get(b"accept-encoding", b""))
        if not codings or not self._questions.has_kept_answers(route_path):
            return None
        if not self._memory.most_bytes:
            return KnownForm(AnswerSlot(_NO_QUESTION), codings)
        self._routes = self._routes or scope["app"].routes
        accept = headers.get(b"accept", b"").decode("latin-1")
        question = self._questions.read(route_path, root_path, query, accept)
        if question is None:
            return None
        return self._memory.add_form(form, question, self._classify_origin(headers.get(b"origin")), codings)

    def _rank_codings(self, accept_encoding: bytes) -> tuple[str, ...]:
        found = self._codings.get(accept_encoding)
        if found is None:
            if len(self._codings) >= MOST_HEADERS:
                self._codings.clear()
            found = self._codings[accept_encoding] = rank_codings(accept_encoding.decode("latin-1"))
        return found

    def _classify_origin(self, origin: bytes | None) -> bytes | None:
        """Return what of an `Origin` makes another answer."""
        if origin is None:
            return None
        is_named = ANY not in self._origins and origin.decode("latin-1") in self._origins
        return origin if is_named else _ANY_ORIGIN

    async def _make_ready(self, known: KnownForm, answer: PreparedAnswer, second: int) -> tuple[RawHeaders, bytes]:
        """Return headers and body in the best of a client's codings for which it does not wait long."""
        for coding in answer.list_sensible(known.codings):
            if coding in answer.bodies:
                return answer.make_ready(known.codings, coding, second)
            size = len(answer.bodies[IDENTITY])
            if coding == SLOW and len(known.codings) > 1:
                if known.slot.answer is answer and size <= MOST_FOR_BROTLI:
                    self._begin_encoding(known.slot, answer, coding)
                continue
            if size <= AT_ONCE:
                self._add_body(known.slot, answer, coding, encode(coding, answer.bodies[IDENTITY]))
            else:
                await asyncio.shield(self._begin_encoding(known.slot, answer, coding))
            return answer.make_ready(known.codings, coding, second)
        raise AssertionError("a client accepts something that is sent, or was refused before")

    def _begin_encoding(self, slot: AnswerSlot, answer: PreparedAnswer, coding: str) -> "asyncio.Task[None]":
        """Return the task that makes a coding in a thread; it is the same one for all who want it."""

        async def encode_beside() -> None:
            body = await asyncio.to_thread(encode, coding, answer.bodies[IDENTITY])
            self._add_body(slot, answer, coding, body)

        if coding not in answer.tasks:
            task = answer.tasks[coding] = asyncio.create_task(encode_beside())
            task.add_done_callback(lambda _: answer.tasks.pop(coding))
        return answer.tasks[coding]

    def _add_body(self, slot: AnswerSlot, answer: PreparedAnswer, coding: str, body: bytes) -> None:
        answer.add_body(coding, body)
        if slot.answer is answer:
            self._memory.note_growth(slot)

    async def _send_conditional(self, scope: Scope, known: KnownForm, answer: PreparedAnswer, send: Send) -> None:
        """Answer who has something already, or wants a part, or no body (RFC 9110, 13.2.2: in this order)."""
        second, conditions, is_head = int(self._clock()), read_conditions(scope), scope["method"] == "HEAD"
        headers, body = await self._make_ready(known, answer, second)
        status = answer.status
        if conditions.if_none_match and answer.has_tag(conditions.if_none_match):
            status, headers, body = HTTPStatus.NOT_MODIFIED, answer.list_unchanged_headers(headers), b""
        elif conditions.range_ and answer.tag and IDENTITY in known.codings and not is_head:
            whole = answer.bodies[IDENTITY]
            is_same = is_unchanged(conditions.if_range, answer.tag)
            try:
                part = find_range(conditions.range_, len(whole)) if is_same else None
            except RangeNotSatisfiable as error:
                detail = f"{error}; accepted: bytes=0-{len(whole) - 1}, or a part of it"
                refusal = make_problem(scope["path"], HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, detail)
                headers = (*answer.list_refusal_headers(), *refusal.raw_headers)
                status, body, part = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, bytes(refusal.body), None
            if part is not None:
                status, body = HTTPStatus.PARTIAL_CONTENT, whole[part.start : part.stop]
                headers = answer.list_part_headers(part, second)
        await send({"type": "http.response.start", "status": int(status), "headers": headers})
        await send({"type": "http.response.body", "body": b"" if is_head else body})
