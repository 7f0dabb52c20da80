"""
What a worker notes of a market that is not simply live, as it stands in `v1:markets`: `["frozen",1621252800,"why"]`. Pure.

A market of which nothing is noted is judged by its newest sample alone (see `freshness`).
"""

import json
from collections.abc import Mapping
from typing import NamedTuple

from ..model import Metric
from .freshness import Freshness

UNRANKED = (Freshness.DELISTED,)
"""A market in one of these states keeps its samples and has no rank."""


class MarketNote(NamedTuple):
    """That a market is not live, and why."""

    state: Freshness
    since: int
    """The tick from which on it is so, unix seconds."""
    reason: str
    """What the provider says, or what shows it."""


class FeedAnswer(NamedTuple):
    """The newest answer of a source."""

    tick: int
    received: float
    """When it was here, unix seconds by the worker's clock."""


NO_NOTES: Mapping[Metric, MarketNote] = {}


def write_note(note: MarketNote) -> str:
    """Return a note as it is kept."""
    return json.dumps([*note], separators=(",", ":"))


def read_note(written: str | None) -> MarketNote | None:
    """Read what `write_note` wrote; `None` where there is nothing, or something else."""
    try:
        state, since, reason = json.loads(written or "")
        return MarketNote(Freshness(state), int(since), str(reason))
    except (TypeError, ValueError):
        return None


def write_answer(answer: FeedAnswer) -> str:
    """Return an answer as it is kept: `[1621252800,1621252800.482]`, rounded to a millisecond."""
    return f"[{answer.tick},{answer.received:.3f}]"


def read_answer(written: str | None) -> FeedAnswer | None:
    """Read what `write_answer` wrote; `None` where there is nothing, or something else."""
    try:
        tick, received = json.loads(written or "")
        return FeedAnswer(int(tick), float(received))
    except (TypeError, ValueError):
        return None


def list_unranked(notes: Mapping[Metric, MarketNote]) -> frozenset[Metric]:
    """Return the metrics that are not to be ranked."""
    return frozenset(metric for metric, note in notes.items() if note.state in UNRANKED)
