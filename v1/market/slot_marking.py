"""Marks the slots that a tick leaves without a sample, or fills too late, in the states that it writes. Pure."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..model import DAY, HOUR, Metric
from .metric_state import StateUpdate
from .slots import SlotMark, SlotReason, add_mark, begin_marks, mark_next_slot, trim_marks


class TickEvidence(NamedTuple):
    """What is known of a tick, and of the slots before it, beside its readings."""

    interval: int
    """Seconds between two slots."""
    previous: int | None
    """The tick that was committed before it; `None` before the first."""
    explain: Callable[[Metric, str], SlotReason]
    """Returns why a metric has no reading at this tick, by its name and the source of its newest sample."""
    skipped: Sequence[SlotMark] = ()
    """The slots between the two that nobody committed."""
    is_late: Callable[[], bool] = lambda: False
    """Returns whether the next slot has begun already."""


def mark_slots(at: int, updates: Sequence[StateUpdate], evidence: TickEvidence) -> Sequence[StateUpdate]:
    """Return the updates of tick `at` with the marks of all slots that are not `ok` since the tick of each state."""
    usual, hour = at - evidence.interval, HOUR * (at // HOUR)
    marked, is_late = [], evidence.is_late()
    for update in updates:
        before = update.found.record
        is_ordinary = before is not None and before.at == usual and update.sample is not None
        if is_ordinary and not is_late and not (before and before.marks and before.at < hour):
            marked.append(update)
        else:
            marked.append(_mark_update(at, update, evidence, is_late=is_late))
    return marked


def _mark_update(at: int, update: StateUpdate, evidence: TickEvidence, *, is_late: bool) -> StateUpdate:
    before = update.found.record
    marks = _mark_gap(at, update, evidence)
    # Of a tick that was begun before, the newest sample may be its own.
    newest = at - DAY if before is None else before.newest if before.newest < at else at - 1
    if update.sample is None:
        marks = mark_next_slot(marks, newest, at, evidence.explain(update.metric, update.record.source))
    elif is_late:
        marks = mark_next_slot(marks, newest, at, SlotReason.WAITED)
    return update._replace(record=update.record._replace(marks=trim_marks(marks, at)))


def _mark_gap(at: int, update: StateUpdate, evidence: TickEvidence) -> str:
    """Return the marks of a state before `at`, with those of the slots since its own tick that have no sample."""
    before, previous = update.found.record, evidence.previous
    if before is None:
        return begin_marks(at - 1)
    marks = before.marks
    if before.at >= at - evidence.interval:
        return marks
    if previous is not None and before.at < previous:
        reason = evidence.explain(update.metric, update.record.source)
        marks = add_mark(marks, SlotMark(before.at + 1, previous, reason))
    for run in evidence.skipped:
        if run.last > before.at:
            marks = add_mark(marks, run)
    return marks
