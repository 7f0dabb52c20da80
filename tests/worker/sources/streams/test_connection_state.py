"""What a connection is to do next."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.sources.streams.connection_state import (
    AGEING_SECONDS,
    MOST_UNREADABLE,
    OPENING_SECONDS,
    PING_SECONDS,
    SILENT_SECONDS,
    ConnectionState,
    ConnectionStep,
)


def opened(*unanswered: str) -> ConnectionState:
    return ConnectionState(1000.0, set(unanswered))


def test_it_is_live_when_everything_is_answered_and_something_came_after_that():
    state = opened("1", "2")
    state.note_proof()
    state.note_answer("1")
    state.note_answer("2")
    assert not state.is_live
    state.note_proof()

    assert state.is_live


def test_one_that_is_answered_is_pinged_at_once_and_not_again_before_something_came():
    state = opened()

    assert [state.decide(1000.0), state.decide(1001.0)] == [ConnectionStep.PING, ConnectionStep.NOTHING]


def test_one_that_is_silent_is_pinged_and_given_up_when_that_is_not_answered():
    state = opened()
    state.note_proof()
    state.note_frame(1010.0)

    steps = [state.decide(1010.0 + after) for after in (0, PING_SECONDS, PING_SECONDS + 1, SILENT_SECONDS)]
    assert steps == [ConnectionStep.NOTHING, ConnectionStep.PING, ConnectionStep.NOTHING, ConnectionStep.DROP]
    assert state.find_fault(1010.0 + SILENT_SECONDS) == "nothing came for 15 s"


def test_one_whose_subscriptions_are_not_answered_is_given_up_although_frames_come():
    state = opened("ticker BTC/USD")
    for second in range(int(OPENING_SECONDS)):
        state.note_frame(1000.0 + second)
        assert state.decide(1000.0 + second) is not ConnectionStep.DROP

    assert state.decide(1000.0 + OPENING_SECONDS) is ConnectionStep.DROP
    assert state.find_fault(1000.0 + OPENING_SECONDS) == "1 subscriptions were not answered in 60 s"


def test_one_that_sends_garbage_alone_is_given_up():
    state = opened()
    for _ in range(MOST_UNREADABLE - 1):
        state.note_frame(1000.0, is_readable=False)
    assert state.find_fault(1000.0) is None
    state.note_frame(1000.0)
    for _ in range(MOST_UNREADABLE):
        state.note_frame(1000.0, is_readable=False)

    assert state.find_fault(1000.0) == "20 frames one after the other could not be read"


@pytest.mark.parametrize("after, is_told, ageing", [(0, False, False), (0, True, True), (AGEING_SECONDS, False, True)])
def test_it_is_to_be_replaced_an_hour_before_the_cut_or_when_the_provider_says_so(
    after: float, is_told: bool, ageing: bool
):
    state = opened()
    state.is_closing_soon = is_told

    assert state.is_ageing(1000.0 + after) is ageing


@given(st.lists(st.tuples(st.floats(0.1, 10), st.sampled_from(["hear", "garbage", "answer", "prove"])), max_size=60))
def test_whatever_happens_silence_is_never_borne_and_no_ping_follows_another_unanswered(
    events: list[tuple[float, str]],
):
    state, now, heard = opened("1"), 1000.0, 1000.0
    steps = []
    for pause, event in events:
        now += pause
        steps.append(step := state.decide(now))
        if now - heard >= SILENT_SECONDS:
            assert step is ConnectionStep.DROP
        if step is ConnectionStep.DROP:
            break
        if event == "answer":
            state.note_answer("1")
        elif event == "prove":
            state.note_proof()
        else:
            state.note_frame(now, is_readable=event == "hear")
            heard, steps = now, []
        assert state.is_live <= (not state.unanswered)
    assert not any(first is second is ConnectionStep.PING for first, second in pairwise(steps))
    assert steps.count(ConnectionStep.PING) <= 1
