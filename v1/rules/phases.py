"""The phases of a rule at one metric, the one function that moves between them, and when it speaks. Pure."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from ..numbers.decimals import Number, parse_decimal, power_of_ten


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


class RuleState(NamedTuple):
    """A phase, since when, and what was told last."""

    phase: Phase
    since: int
    """The tick at which the phase began; while pending or firing, at which the rule began to hold."""
    notified_at: int | None = None
    last_notified_magnitude: str | None = None
    """How far it was then, exactly, see `conditions.Verdict`."""
    alert: str | None = None
    """While firing: id of the last alert that told it."""
    sent: bool = False
    """While firing: whether a message was sent, or all of them were kept quiet."""


RuleStates = Mapping[str, RuleState]
"""By rule id."""

NEVER = RuleState(Phase.INACTIVE, 0)


def advance(state: RuleState, *, over: bool, at: int, hold: int) -> RuleState:
    """
    Move on at tick `at`, at which the rule holds (`over`) or not; it fires after `hold` seconds.

        INACTIVE ──over──▶ PENDING ──over for `hold`──▶ FIRING
           ▲                │   ▲                         │
           ├────not over────┘   │                      not over
           │                   over                       ▼
           └── once told long ago (see `forgets`) ─── RESOLVED

    Whoever was told something goes back from PENDING to RESOLVED, not to INACTIVE.
    """
    match state.phase, over:
        case ((Phase.INACTIVE | Phase.RESOLVED), True):
            return state._replace(phase=Phase.PENDING if hold else Phase.FIRING, since=at)
        case Phase.PENDING, True if at - state.since >= hold:
            return state._replace(phase=Phase.FIRING)
        case Phase.PENDING, False:
            return state._replace(phase=Phase.INACTIVE if state.notified_at is None else Phase.RESOLVED, since=at)
        case Phase.FIRING, False:
            return state._replace(phase=Phase.RESOLVED, since=at, alert=None, sent=False)
    return state


def can_forget(state: RuleState, at: int, cooldown: int) -> bool:
    """Return whether nothing of a state matters any more, so that it need not be kept."""
    if state.phase is Phase.INACTIVE:
        return True
    return state.phase is Phase.RESOLVED and (state.notified_at is None or at - state.notified_at >= cooldown)


def should_notify(state: RuleState, at: int, cooldown: int, *, moved_on: bool) -> bool:
    """
    Return whether a firing rule says so at tick `at`.

    It does if it never did, if the cooldown is over, or if it has `moved_on` by a whole step since it
    did. With neither cooldown nor step it always does.
    """
    if state.phase is not Phase.FIRING:
        return False
    return state.notified_at is None or at - state.notified_at >= cooldown or moved_on


def is_further(extent: str | None, told: str | None, step: Number, *, down: bool = False) -> bool:
    """
    Return whether `extent` is more than `step` x as far as `told`, in integers; a step of zero never is.

    Going `down`, further is less: 10 is more than 3 x as far down as 31, and -31 as -10.
    """
    if not step[0] or extent is None or told is None:
        return False
    now, then = _fraction(extent), _fraction(told)
    if (then[0] < 0) == down:
        return _is_beyond(now, then, step, down=down)  # away from zero
    return _is_beyond(then, now, step, down=not down)  # towards it


Fraction = tuple[int, int]
"""Two whole numbers, the second above zero."""


def _fraction(extent: str) -> Fraction:
    top, slash, bottom = extent.partition("/")
    if slash:
        return int(top), int(bottom)
    units, places = parse_decimal(extent)
    return units, power_of_ten(places)


def _is_beyond(left: Fraction, right: Fraction, step: Number, *, down: bool) -> bool:
    """Return whether left > step x right, or, going `down`, left < step x right."""
    one = left[0] * right[1] * power_of_ten(step[1])
    other = step[0] * right[0] * left[1]
    return one < other if down else one > other


def write_states(states: RuleStates) -> dict[str, list[object]]:
    """Return states as they are kept in a record; of one that was never told, no more than there is."""
    return {
        rule: [*state] if state.notified_at is not None else [state.phase, state.since]
        for rule, state in states.items()
    }


def read_states(written: Mapping[str, Sequence[object]]) -> dict[str, RuleState]:
    """Read what `write_states` wrote."""
    return {rule: RuleState(Phase(str(phase)), *rest) for rule, (phase, *rest) in written.items()}  # type: ignore[arg-type]  # as written
