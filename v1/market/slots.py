"""
Which slots of the sampling grid a metric has, how each sample came, and why the others are missing. Pure.

A slot is a tick of the grid. Of the day, only what is out of the ordinary is written down: a sample without a mark was
sampled at its tick. The marks of a metric are one text inside its state (see `metric_state`), so they are written by the
transaction that writes the sample, and none is lost without the state:

    1764324060+3540x1764327660+0j

are two runs of slots, each `<first tick>+<seconds to the last tick><code of the reason>`. A run speaks either of samples
(late, filled) or of their absence, and says nothing of slots of the other kind inside it; of two runs of one kind the
later in the text counts. A metric without a fault takes no byte, a run 13 to 17.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from itertools import groupby
from typing import NamedTuple

from ..model import DAY

MOST_BYTES = 4096
"""Marks that take more are joined: what came first loses its single slots."""


class SlotState(StrEnum):
    """How a slot of the grid stands."""

    OK = "ok"
    """Sampled at its tick, and written before the next."""
    LATE = "late"
    """Sampled at its tick, and written after the next had begun."""
    FILLED = "filled"
    """Put in afterwards."""
    MISSING = "missing"
    """There is no sample."""


class SlotReason(StrEnum):
    """Why a slot is not `ok`."""

    WAITED = "waited"
    """Late: the store did not take it in time."""
    CANDLES = "candles"
    """Filled from the candles of a source."""
    ARCHIVE = "archive"
    """Filled from an hour of the archive."""
    UNKNOWN = "unknown"
    """Filled, as far as is known: the record of how it came was lost."""
    NOT_ASKED = "not_asked"
    """No source was asked for it: it was not sampled yet, or is no more."""
    NOT_RUNNING = "not_running"
    """No worker ran, or its machine slept."""
    BEHIND = "behind"
    """The tick was left out because commits took longer than the interval."""
    CLOCK = "clock"
    """The tick was left out because the machine's clock was wrong."""
    DROPPED = "dropped"
    """It was read, and had to make room while the store was away, or the store lost it."""
    NO_ANSWER = "no_answer"
    """The source did not answer."""
    REFUSED = "refused"
    """The source answered with an error, or is left alone because it asked for that."""
    INVALID = "invalid_response"
    """The answer of the source could not be read."""
    REJECTED = "rejected"
    """The reading could not be so, and was left out."""
    NOT_GIVEN = "not_given"
    """The source answered without it."""
    NOT_RECORDED = "not_recorded"
    """Nothing says why: its sample was deleted, or the grid was another one."""


CODES: Mapping[str, SlotReason] = {
    "w": SlotReason.WAITED,
    "c": SlotReason.CANDLES,
    "h": SlotReason.ARCHIVE,
    "u": SlotReason.UNKNOWN,
    "f": SlotReason.NOT_ASKED,
    "x": SlotReason.NOT_RUNNING,
    "b": SlotReason.BEHIND,
    "k": SlotReason.CLOCK,
    "d": SlotReason.DROPPED,
    "a": SlotReason.NO_ANSWER,
    "r": SlotReason.REFUSED,
    "i": SlotReason.INVALID,
    "j": SlotReason.REJECTED,
    "n": SlotReason.NOT_GIVEN,
    "l": SlotReason.NOT_RECORDED,
}
"""The code of each reason, as marks are written."""
STATES: Mapping[SlotReason, SlotState] = {
    SlotReason.WAITED: SlotState.LATE,
    SlotReason.CANDLES: SlotState.FILLED,
    SlotReason.ARCHIVE: SlotState.FILLED,
    SlotReason.UNKNOWN: SlotState.FILLED,
}
"""The state of a sample by its reason; every other reason is one of a slot without a sample."""

_CODES = {reason: code for code, reason in CODES.items()}
_RUN = re.compile(rf"(\d+)\+(\d+)([{''.join(CODES)}])")
_MARKS = re.compile(rf"(?:{_RUN.pattern})*")
_TAIL = re.compile(rf"{_RUN.pattern}$")
_TAIL_LENGTH = 32
"""Characters that hold the last run, whatever its numbers."""


class SlotMark(NamedTuple):
    """A run of slots that are not `ok`, or would not be if they had a sample, or none."""

    first: int
    last: int
    reason: SlotReason


class SlotRun(NamedTuple):
    """Consecutive slots of one state and reason."""

    first: int
    last: int
    state: SlotState
    reason: SlotReason | None
    slots: int


def check_marks(marks: object) -> None:
    """Raise `ValueError` for what are no marks."""
    if not isinstance(marks, str) or not _MARKS.fullmatch(marks):
        raise ValueError(f"{str(marks)[:100]!r} are no marks of slots")


def parse_marks(marks: str) -> list[SlotMark]:
    """Read marks as they are written. Raises `ValueError` where they are something else."""
    check_marks(marks)
    return [SlotMark(int(first), int(first) + int(length), CODES[code]) for first, length, code in _RUN.findall(marks)]


def write_marks(runs: Iterable[SlotMark]) -> str:
    """Write marks as `parse_marks` reads them."""
    return "".join([f"{first}+{last - first}{_CODES[reason]}" for first, last, reason in runs])


def add_mark(marks: str, mark: SlotMark) -> str:
    """Return the marks with one more, which counts more than those before it."""
    if mark.last < mark.first:
        return marks
    return _join_oldest(marks + write_marks([mark]))


def mark_next_slot(marks: str, newest: int, at: int, reason: SlotReason) -> str:
    """
    Return the marks with the slot `at`, of which the last run is made longer where it reaches the slot before.

    `newest` is the tick of the newest sample before `at`: between it and `at` there is none.
    """
    tail = _find_tail(marks)
    if tail is not None and tail.reason is reason and newest <= tail.last <= at:
        return marks[: -len(write_marks([tail]))] + write_marks([SlotMark(tail.first, at, reason)])
    return add_mark(marks, SlotMark(at, at, reason))


def mark_samples(marks: str, ticks: Collection[int], held: Iterable[int], reason: SlotReason) -> str:
    """Return the marks with those of samples at `ticks`, which are among all that are `held`; neither is empty."""
    inside = sorted({*held} | {*ticks})
    for is_marked, run in groupby(inside, {*ticks}.__contains__):
        if is_marked:
            together = [*run]
            marks = add_mark(marks, SlotMark(together[0], together[-1], reason))
    return marks


def begin_marks(at: int) -> str:
    """Return the marks of a metric that nobody knew before `at`."""
    return write_marks([SlotMark(at - DAY + 1, at, SlotReason.NOT_ASKED)])


def mark_unknown(at: int) -> str:
    """Return the marks of a metric of which samples are there, and how they came is lost."""
    return write_marks(
        [SlotMark(at - DAY + 1, at, SlotReason.UNKNOWN), SlotMark(at - DAY + 1, at, SlotReason.NOT_RECORDED)]
    )


def trim_marks(marks: str, at: int) -> str:
    """Return what the marks say of the day that ends at `at`."""
    runs = [run._replace(last=min(run.last, at)) for run in parse_marks(marks)] if marks else ()
    return write_marks([run for run in runs if run.last > at - DAY and run.first <= run.last])


def list_slots(marks: str, held: Iterable[int], after: int, until: int, interval: int) -> list[SlotRun]:
    """Return every slot with after < tick <= until in runs, oldest first; `held` are the ticks of all samples there."""
    first = after // interval * interval + interval
    length = max(0, (until - first) // interval + 1)
    kinds = {reason: place for place, reason in enumerate(SlotReason, 1)}
    origins, absences = bytearray(length), bytearray([kinds[SlotReason.NOT_RECORDED]]) * length
    for mark in parse_marks(marks):
        start = max(0, -((first - mark.first) // interval))
        end = min(length, (mark.last - first) // interval + 1)
        painted = origins if mark.reason in STATES else absences
        painted[start:end] = bytes([kinds[mark.reason]]) * (end - start)
    is_held = bytearray(length)
    for tick in held:
        if first <= tick <= until and not (tick - first) % interval:
            is_held[(tick - first) // interval] = 1
    reasons = {place: reason for reason, place in kinds.items()}
    found = [origin if there else absence for origin, absence, there in zip(origins, absences, is_held, strict=True)]
    return _join_slots(found, reasons, first, interval)


def _find_tail(marks: str) -> SlotMark | None:
    tail = _TAIL.search(marks[-_TAIL_LENGTH:])
    return None if tail is None else SlotMark(int(tail[1]), int(tail[1]) + int(tail[2]), CODES[tail[3]])


def _join_oldest(marks: str) -> str:
    """
    Return marks of `MOST_BYTES` at most: of the first half of the runs, those of one reason become one.

    What lies between them is then marked, too: a sample may be called filled that was not, and never the other way round.
    """
    if len(marks) <= MOST_BYTES:
        return marks
    runs = parse_marks(marks)
    older, newer = runs[: len(runs) // 2], runs[len(runs) // 2 :]
    joined: dict[SlotReason, SlotMark] = {}
    for run in older:
        known = joined.get(run.reason, run)
        joined[run.reason] = SlotMark(min(known.first, run.first), max(known.last, run.last), run.reason)
    return write_marks([*joined.values(), *newer])


def _join_slots(found: Sequence[int], reasons: Mapping[int, SlotReason], first: int, interval: int) -> list[SlotRun]:
    runs, place = [], 0
    for kind, slots in groupby(found):
        length = sum(1 for _ in slots)
        reason = reasons.get(kind)
        state = SlotState.OK if reason is None else STATES.get(reason, SlotState.MISSING)
        start = first + place * interval
        runs.append(SlotRun(start, start + (length - 1) * interval, state, reason, length))
        place += length
    return runs
