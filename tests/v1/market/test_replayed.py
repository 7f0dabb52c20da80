"""What a replay says of itself, and what it is called in words."""

import json

import pytest

from v1.market.replayed import (
    ReplayMark,
    ReplayState,
    describe_replay,
    judge_progress,
    parse_mark,
)

MORNING = 1_621_408_320
"""2021-05-19 07:12 UTC."""
MARK = ReplayMark(MORNING - 120, MORNING + 120, 0, "60")
LATER = 2000 * 86_400


@pytest.mark.parametrize(
    "mark, tick, is_fed, state, text",
    [
        (MARK, MORNING, True, ReplayState.RUNNING, "market replayed: 2021-05-19 07:12 UTC at 60 x"),
        (
            MARK._replace(speed=None),
            MORNING,
            True,
            ReplayState.RUNNING,
            "market replayed: 2021-05-19 07:12 UTC as fast as it goes",
        ),
        (MARK, None, True, ReplayState.RUNNING, "market replayed: not a tick yet at 60 x"),
        (
            MARK,
            MORNING,
            False,
            ReplayState.STOPPED,
            "market replayed: stopped at 2021-05-19 07:12 UTC; the same command goes on with it",
        ),
        (
            MARK,
            MORNING + 120,
            False,
            ReplayState.OVER,
            "market replayed: 2021-05-19 07:10 to 2021-05-19 07:14 UTC, to its end",
        ),
        (
            ReplayMark(MORNING + LATER, MORNING + LATER + 60, LATER, "0.5"),
            MORNING + LATER,
            True,
            ReplayState.RUNNING,
            "market replayed: 2021-05-19 07:12 UTC, played as 2026-11-09 07:12 UTC, at 0.5 x",
        ),
        (
            ReplayMark(MORNING + LATER, MORNING + LATER + 60, LATER, None),
            MORNING + LATER + 60,
            False,
            ReplayState.OVER,
            "market replayed: 2021-05-19 07:12 to 2021-05-19 07:13 UTC, played until 2026-11-09 07:13 UTC, to its end",
        ),
    ],
)
def test_how_far_a_replay_is_follows_from_its_ticks_and_from_who_feeds_the_store(
    mark: ReplayMark, tick: int | None, is_fed: bool, state: ReplayState, text: str
):
    progress = judge_progress(mark, tick, is_fed=is_fed)

    assert progress == (mark, state, tick)
    assert describe_replay(progress) == text


@pytest.mark.parametrize("mark", [MARK, MARK._replace(speed=None), MARK._replace(speed="0.25", shift=60)])
def test_what_is_stored_is_read_again(mark: ReplayMark):
    assert parse_mark(json.loads(json.dumps(mark._asdict()))) == mark


@pytest.mark.parametrize(
    "stored",
    [
        None,
        {},
        {"first": 1, "last": 2},
        {"first": 1, "last": 2, "shift": "0"},
        {"first": True, "last": 2, "shift": 0},
        MARK._asdict() | {"speed": "0"},
        MARK._asdict() | {"speed": "fast"},
        MARK._asdict() | {"speed": 60},
    ],
    ids=str,
)
def test_what_is_no_mark_marks_nothing(stored: dict[str, object] | None):
    assert parse_mark(stored) is None
