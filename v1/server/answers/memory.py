"""The answers that are kept: found by how a request is written, bounded in bytes, ended by changes of the data."""

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from ...routes.questions import Change, Question
from .prepared import PreparedAnswer
from .request import RequestForm

MOST_FORMS = 64
"""Ways to write one question that are remembered; who invents more of them than that is read anew each time."""
FORM_BYTES = 600
"""Bytes of memory that a form takes beside its own texts."""


@dataclass(slots=True)
class MemoryStatistics:
    """Counts since the start of the process, and what is kept now."""

    hits: int = 0
    """Requests that were answered from memory."""
    misses: int = 0
    """Requests for which an answer was made."""
    joined: int = 0
    """Requests that got an answer which another one had begun to make."""
    not_kept: int = 0
    """Answers that were made and not kept: errors, too large, or nothing is kept at present."""
    evictions: int = 0
    """Answers that were dropped for want of room."""
    answers: int = 0
    """Answers that are kept now."""
    used_bytes: int = 0
    """Bytes that they take now."""


class PendingAnswer:
    """An answer that is being made, and everybody who waits for it."""

    def __init__(self, form: RequestForm, task: "asyncio.Task[PreparedAnswer]") -> None:
        self.form = form
        """How the request was written that it is made for: an error names what was written."""
        self.task = task
        self.is_ended = False
        """Whether something changed since it was begun: who asked by then gets it, and nobody later."""


class AnswerSlot:
    """The place of the answer to one question."""

    __slots__ = ("answer", "forms", "pending", "question", "size")

    def __init__(self, question: Question) -> None:
        self.question = question
        self.answer: PreparedAnswer | None = None
        self.pending: PendingAnswer | None = None
        self.forms: list[RequestForm] = []
        self.size = 0
        """Bytes that it was counted with."""


class KnownForm:
    """A way to write a question, and the codings that who writes so accepts, the best first."""

    __slots__ = ("codings", "slot")

    def __init__(self, slot: AnswerSlot, codings: tuple[str, ...]) -> None:
        self.slot = slot
        self.codings = codings


_SlotKey = tuple[Question, bytes | None]


class AnswerMemory:
    """
    Keeps answers, `most_bytes` of them at most; where there is no room, those go first that were not asked for longest.

    It is told of every change (`note_change`), and drops at once what that may have ended.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.forms: dict[RequestForm, KnownForm] = {}
        self.statistics = MemoryStatistics()
        self._slots: dict[_SlotKey, AnswerSlot] = {}
        self._used: OrderedDict[AnswerSlot, _SlotKey] = OrderedDict()
        """Least recently used first."""
        self._live: dict[str | None, set[AnswerSlot]] = defaultdict(set)
        """The slots with an answer, or with one that is being made, by the metric that they are about."""
        self.touch = self._used.move_to_end
        """Note that a slot was asked for."""

    def add_form(
        self, form: RequestForm, question: Question, origin: bytes | None, codings: tuple[str, ...]
    ) -> KnownForm:
        """Remember that a request written so asks this question, for pages of this origin."""
        key = (question, origin)
        slot = self._slots.get(key)
        if slot is None:
            slot = self._slots[key] = AnswerSlot(question)
            self._used[slot] = key
        self.touch(slot)
        if len(slot.forms) >= MOST_FORMS:
            self.forms.pop(slot.forms.pop(0), None)
        slot.forms.append(form)
        known = self.forms[form] = KnownForm(slot, codings)
        self._count(slot)
        return known

    def begin(self, slot: AnswerSlot, pending: PendingAnswer) -> None:
        """Note that an answer is being made."""
        slot.pending = pending
        if slot in self._used:
            self._live[slot.question.metric].add(slot)

    def finish(self, slot: AnswerSlot, pending: PendingAnswer, answer: PreparedAnswer | None) -> None:
        """Keep an answer that was made, unless something ended it meanwhile; `None`: there is none to keep."""
        if slot.pending is pending:
            slot.pending = None
        is_gone = pending.is_ended or slot not in self._used
        if answer is None or is_gone or answer.size > self.most_bytes:
            self.statistics.not_kept += 1
            if slot.answer is None and slot.pending is None:
                self._live[slot.question.metric].discard(slot)
            return
        self.statistics.answers += slot.answer is None
        slot.answer = answer
        self._count(slot)

    def note_growth(self, slot: AnswerSlot) -> None:
        """Note that the answer of a slot has got a body more."""
        if slot in self._used:
            self._count(slot)

    def note_change(self, change: Change) -> None:
        """Drop the answers that a change has ended."""
        metrics: Iterable[str | None] = (change.metric, None) if change.metric is not None else [*self._live]
        for metric in metrics:
            ended = [slot for slot in self._live.get(metric, ()) if slot.question.is_ended_by(change)]
            for slot in ended:
                self._drop_answer(slot)
            if not self._live.get(metric):
                self._live.pop(metric, None)

    def _drop_answer(self, slot: AnswerSlot) -> None:
        if slot.pending is not None:
            slot.pending.is_ended, slot.pending = True, None
        self.statistics.answers -= slot.answer is not None
        slot.answer = None
        self._live[slot.question.metric].discard(slot)
        self._count(slot)

    def _count(self, slot: AnswerSlot) -> None:
        """Count what a slot takes now, and make room where that is too much."""
        forms = sum([_measure_form(form) for form in slot.forms])
        size = forms + (slot.answer.size if slot.answer else 0)
        self.statistics.used_bytes += size - slot.size
        slot.size = size
        while self.statistics.used_bytes > self.most_bytes and self._used:
            self._evict(next(iter(self._used)))

    def _evict(self, slot: AnswerSlot) -> None:
        self.statistics.evictions += slot.answer is not None
        del self._slots[self._used.pop(slot)]
        for form in slot.forms:
            self.forms.pop(form, None)
        slot.forms.clear()
        self._drop_answer(slot)


def _measure_form(form: RequestForm) -> int:
    """Return the bytes of memory that a form takes, about."""
    path, query, headers = form
    return FORM_BYTES + len(path) + len(query) + sum([len(value) for _, value in headers])
