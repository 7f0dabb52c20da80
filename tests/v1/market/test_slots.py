"""Slots: how marks are written, which of them counts, and that every slot is accounted for once."""

import random
from collections.abc import Iterable

import pytest

from v1.market.slots import (
    MOST_BYTES,
    STATES,
    SlotMark,
    SlotReason,
    SlotRun,
    SlotState,
    add_mark,
    begin_marks,
    check_marks,
    list_slots,
    mark_next_slot,
    mark_samples,
    mark_unknown,
    parse_marks,
    trim_marks,
)
from v1.model import DAY, MINUTE

NOON = 1_621_252_800
DAY_TICKS = range(NOON - DAY + MINUTE, NOON + MINUTE, MINUTE)


def list_day(marks: str, held: Iterable[int] = DAY_TICKS) -> list[SlotRun]:
    return list_slots(marks, held, NOON - DAY, NOON, MINUTE)


def test_a_day_without_a_mark_is_one_run_that_is_ok():
    assert list_day("") == [SlotRun(DAY_TICKS[0], NOON, SlotState.OK, None, 1440)]


def test_a_slot_without_a_sample_and_without_a_mark_is_missing_and_nothing_says_why():
    runs = list_day("", [tick for tick in DAY_TICKS if tick != NOON - MINUTE])

    assert runs[1] == SlotRun(NOON - MINUTE, NOON - MINUTE, SlotState.MISSING, SlotReason.NOT_RECORDED, 1)


def test_marks_are_a_text_that_a_person_can_read():
    marks = mark_next_slot("", NOON - 2 * MINUTE, NOON - MINUTE, SlotReason.REFUSED)
    marks = mark_next_slot(marks, NOON - 2 * MINUTE, NOON, SlotReason.REFUSED)

    assert marks == f"{NOON - MINUTE}+60r"
    assert parse_marks(marks) == [SlotMark(NOON - MINUTE, NOON, SlotReason.REFUSED)]


def test_a_run_ends_with_a_sample_or_with_another_reason():
    marks = mark_next_slot("", NOON - 600, NOON - 540, SlotReason.REFUSED)
    after_a_sample = mark_next_slot(marks, NOON - 480, NOON - 420, SlotReason.REFUSED)
    of_another_reason = mark_next_slot(marks, NOON - 600, NOON - 480, SlotReason.NO_ANSWER)

    assert len(parse_marks(after_a_sample)) == len(parse_marks(of_another_reason)) == 2


def test_a_tick_that_is_written_twice_is_marked_once():
    marks = mark_next_slot("", NOON - MINUTE, NOON, SlotReason.REFUSED)

    assert mark_next_slot(marks, NOON - MINUTE, NOON, SlotReason.REFUSED) == marks


def test_what_is_filled_is_told_apart_from_what_is_missing_still():
    marks = add_mark("", SlotMark(NOON - 600, NOON - 300, SlotReason.NOT_RUNNING))
    held = [tick for tick in DAY_TICKS if not NOON - 600 <= tick <= NOON - 300]
    filled = [NOON - 600, NOON - 540, NOON - 300]

    runs = list_day(mark_samples(marks, filled, held, SlotReason.CANDLES), held + filled)

    assert [(run.state, run.reason, run.slots) for run in runs] == [
        (SlotState.OK, None, 1429),
        (SlotState.FILLED, SlotReason.CANDLES, 2),
        (SlotState.MISSING, SlotReason.NOT_RUNNING, 3),
        (SlotState.FILLED, SlotReason.CANDLES, 1),
        (SlotState.OK, None, 5),
    ]


def test_of_two_marks_of_a_sample_the_later_one_counts():
    marks = mark_samples("", [NOON], DAY_TICKS, SlotReason.ARCHIVE)

    assert list_day(mark_samples(marks, [NOON], DAY_TICKS, SlotReason.CANDLES))[-1].reason is SlotReason.CANDLES


def test_of_a_state_that_was_lost_no_sample_is_called_ok():
    runs = list_day(mark_unknown(NOON), DAY_TICKS[:1000])

    assert [(run.state, run.reason) for run in runs] == [
        (SlotState.FILLED, SlotReason.UNKNOWN),
        (SlotState.MISSING, SlotReason.NOT_RECORDED),
    ]


def test_what_left_the_day_takes_no_room_and_what_lies_in_the_future_is_cut():
    marks = add_mark("", SlotMark(NOON - DAY - 600, NOON - DAY, SlotReason.CLOCK))
    marks = add_mark(marks, SlotMark(NOON - 60, NOON + 60, SlotReason.BEHIND))

    assert parse_marks(trim_marks(marks, NOON)) == [SlotMark(NOON - 60, NOON, SlotReason.BEHIND)]
    assert trim_marks("", NOON) == ""


def test_a_new_metric_was_asked_of_nobody_before():
    assert list_day(begin_marks(NOON - MINUTE), [NOON]) == [
        SlotRun(DAY_TICKS[0], NOON - MINUTE, SlotState.MISSING, SlotReason.NOT_ASKED, 1439),
        SlotRun(NOON, NOON, SlotState.OK, None, 1),
    ]


@pytest.mark.parametrize("wrong", ["1621252800", "1621252800+60", "1621252800+60q", "x", ["1621252800+60r"], 7])
def test_what_are_no_marks_is_refused(wrong):
    with pytest.raises(ValueError, match="no marks of slots"):
        check_marks(wrong)


def test_marks_stay_small_and_never_make_a_sample_ok_that_was_not():
    chosen, marks = random.Random(7), ""
    states: dict[int, SlotReason | None] = {}
    held: list[int] = []
    for at in range(NOON - DAY + 5, NOON + 5, 5):
        kind = chosen.choice([None, None, SlotReason.CANDLES, SlotReason.WAITED, SlotReason.REFUSED])
        states[at] = kind
        newest = held[-1] if held else at - DAY
        if kind in STATES:
            marks = mark_samples(marks, [at], held[-3:], kind)
        elif kind:
            marks = mark_next_slot(marks, newest, at, kind)
        if kind is None or kind in STATES:
            held.append(at)

    runs = list_slots(marks, held, NOON - DAY, NOON, 5)

    assert len(marks) <= MOST_BYTES
    assert sum(run.slots for run in runs) == DAY // 5
    for run in runs:
        for at in range(run.first, run.last + 5, 5):
            is_missing = states[at] is SlotReason.REFUSED
            assert (run.state is SlotState.MISSING) == is_missing
            assert run.state is not SlotState.OK or states[at] is None
