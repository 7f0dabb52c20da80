"""How answers show that the market is replayed."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, Field

from ..market.replayed import ReplayProgress, ReplayState, describe_replay


class ReplayView(BaseModel):
    """A replay of recorded candles: the market is not a live one."""

    text: Annotated[str, Field(description="In words: `market replayed: 2021-05-19 07:12 UTC at 60 x`.")]
    state: Annotated[ReplayState, Field(description="`stopped`: it was broken off before its end.")]
    at: Annotated[int | None, Field(description="Its newest tick; null before the first.")]
    recorded_at: Annotated[int | None, Field(description="The time that was recorded of that tick.")]
    speed: Annotated[
        float | None, Field(description="Recorded seconds that go by in one second; null: as many as can be.")
    ]
    first: Annotated[int, Field(description="The first tick that is played.")]
    last: Annotated[int, Field(description="The last one.")]


def show_replay(progress: ReplayProgress | None) -> Mapping[str, Any] | None:
    """Return the fields of a `ReplayView`; `None` of a live market."""
    if progress is None:
        return None
    mark, state, at = progress
    return {
        "text": describe_replay(progress),
        "state": state,
        "at": at,
        "recorded_at": None if at is None else at - mark.shift,
        "speed": None if mark.speed is None else float(mark.speed),
        "first": mark.first,
        "last": mark.last,
    }
