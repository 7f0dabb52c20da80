"""The phases of a rule at one metric, the one function that moves between them, and when it speaks. Pure."""

from enum import StrEnum
from typing import NamedTuple

from ..decimals import Number, parse, power


class Phase(StrEnum):
    """Where a rule stands at one metric."""

    INACTIVE = "inactive"
    """It does not hold."""
    PENDING = "pending"
    """It holds, but not for long enough yet."""
    FIRING = "firing"
    """It holds, and has for as long as the rule asks."""
    RESOLVED = "resolved"
    """It fired, and does not hold any more; what was told is remembered for the cooldown."""


class State(NamedTuple):
    """A phase, since when, and what was told last."""

    phase: Phase
    since: int
    """The tick at which the phase began; while pending or firing, at which the rule began to hold."""
    told_at: int | None = None
    told_value: str | None = None
    alert: str | None = None
    """Id of the alert that told it."""


NEVER = State(Phase.INACTIVE, 0)


def advance(state: State, *, over: bool, at: int, hold: int) -> State:
    """
    Move on at tick `at`, at which the rule holds (`over`) or not; it fires after `hold` seconds.

        INACTIVE ──over──▶ PENDING ──over for `hold`──▶ FIRING
           ▲                  │                           │
           ├─────not over─────┘                       not over
           │                                              ▼
           └── once told long ago (see `forgets`) ─── RESOLVED ──over──▶ PENDING
    """
    match state.phase, over:
        case ((Phase.INACTIVE | Phase.RESOLVED), True):
            return state._replace(phase=Phase.PENDING if hold else Phase.FIRING, since=at)
        case Phase.PENDING, True if at - state.since >= hold:
            return state._replace(phase=Phase.FIRING)
        case Phase.PENDING, False:
            return state._replace(phase=Phase.INACTIVE if state.told_at is None else Phase.RESOLVED, since=at)
        case Phase.FIRING, False:
            return state._replace(phase=Phase.RESOLVED, since=at)
    return state


def forgets(state: State, at: int, cooldown: int) -> bool:
    """Tell whether nothing of a state matters any more, so that it need not be kept."""
    if state.phase is Phase.INACTIVE:
        return True
    return state.phase is Phase.RESOLVED and (state.told_at is None or at - state.told_at >= cooldown)


def speaks(state: State, at: int, value: str | None, cooldown: int, step: Number) -> bool:
    """
    Tell whether a firing rule says so at tick `at`.

    It does if it never did, if the cooldown is over, or if the value is more than `step` x the one it
    told last (in integers; a step of zero never). With neither cooldown nor step it always does.
    """
    if state.phase is not Phase.FIRING:
        return False
    if state.told_at is None or at - state.told_at >= cooldown:
        return True
    if not step[0] or value is None or state.told_value is None:
        return False
    (units, places), (told_units, told_places) = parse(value), parse(state.told_value)
    return units * power(told_places + step[1]) > step[0] * told_units * power(places)
