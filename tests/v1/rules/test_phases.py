"""The phases and their picture, when a firing rule speaks, and that a restart at any step changes nothing."""

import json
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.rule_play import HOUR, MINUTE, NOON, Sampler, rule, said, ticks
from v1.numbers.decimals import parse_decimal
from v1.rules.phases import (
    NEVER,
    Phase,
    RuleState,
    advance,
    can_forget,
    is_further,
    read_states,
    should_notify,
    write_states,
)

INACTIVE, PENDING, FIRING, RESOLVED = Phase.INACTIVE, Phase.PENDING, Phase.FIRING, Phase.RESOLVED
HOLD = 2 * MINUTE


@pytest.mark.parametrize(
    "phase, told, over, later, phase_after",
    [
        pytest.param(INACTIVE, False, False, MINUTE, INACTIVE, id="nothing stays nothing"),
        pytest.param(INACTIVE, False, True, MINUTE, PENDING, id="what holds is pending first"),
        pytest.param(PENDING, False, True, MINUTE, PENDING, id="and pending until it has held for long enough"),
        pytest.param(PENDING, False, True, HOLD, FIRING, id="then it fires"),
        pytest.param(PENDING, False, False, MINUTE, INACTIVE, id="a blip is forgotten"),
        pytest.param(PENDING, True, False, MINUTE, RESOLVED, id="unless something was told before"),
        pytest.param(FIRING, True, True, HOUR, FIRING, id="it fires as long as it holds"),
        pytest.param(FIRING, True, False, MINUTE, RESOLVED, id="and is resolved when it does not"),
        pytest.param(RESOLVED, True, False, HOUR, RESOLVED, id="resolved stays resolved"),
        pytest.param(RESOLVED, True, True, MINUTE, PENDING, id="and is pending when it holds again"),
    ],
)
def test_the_transitions_are_those_of_the_picture(phase, told, over, later, phase_after):
    state = RuleState(phase, NOON, NOON - HOUR if told else None)

    assert advance(state, over=over, at=NOON + later, hold=HOLD).phase is phase_after


def test_without_a_hold_what_holds_fires_at_once():
    assert advance(NEVER, over=True, at=NOON, hold=0) == RuleState(FIRING, NOON)


def test_since_tells_when_it_began_to_hold_not_when_it_began_to_fire():
    pending = advance(NEVER, over=True, at=NOON, hold=HOLD)

    assert advance(pending, over=True, at=NOON + HOLD, hold=HOLD).since == NOON


def test_what_was_told_of_one_fire_is_not_told_of_the_next():
    fired = RuleState(FIRING, NOON, NOON, "1", "r.A:B.1", sent=True)

    over = advance(fired, over=False, at=NOON + MINUTE, hold=0)

    assert over == RuleState(RESOLVED, NOON + MINUTE, NOON, "1")


@pytest.mark.parametrize(
    "state, forgotten",
    [
        pytest.param(RuleState(INACTIVE, NOON), True, id="nothing"),
        pytest.param(RuleState(RESOLVED, NOON), True, id="over, and never told"),
        pytest.param(RuleState(RESOLVED, NOON, NOON - HOUR + 1), False, id="told within the cooldown"),
        pytest.param(RuleState(RESOLVED, NOON, NOON - HOUR), True, id="told a cooldown ago"),
        pytest.param(RuleState(PENDING, NOON), False, id="pending"),
        pytest.param(RuleState(FIRING, NOON), False, id="firing"),
    ],
)
def test_only_what_matters_is_remembered(state, forgotten):
    assert can_forget(state, NOON, HOUR) is forgotten


def test_a_rule_speaks_when_it_begins_to_fire_and_after_each_cooldown():
    assert ticks(said(rule("threshold", above=1, cooldown="5m"), ["2"] * 12)) == [0, 5, 10]


def test_without_cooldown_and_step_it_says_yes_at_every_sample():
    assert ticks(said(rule("threshold", above=1), ["2", "1", "2", None, "2"])) == [0, 2, 4]


def test_within_the_cooldown_it_speaks_again_only_a_whole_step_further():
    series = ["2", "5.9", "6", "6.1", "18.3", "18.4"]

    assert ticks(said(rule("threshold", above=1, cooldown="1h", step=3), series)) == [0, 3, 5]


def test_within_the_cooldown_a_second_fire_is_silent_but_for_a_step():
    series = ["2", "1", "2", "1", "7", "1", "2"]

    assert ticks(said(rule("threshold", above=1, cooldown="1h", step=3), series)) == [0, 4]


def test_further_down_is_less():
    series = ["9", "8", "3", "2.9", "1"]

    assert ticks(said(rule("threshold", below=10, cooldown="1h", step=3), series)) == [0, 3]


def test_a_change_is_further_when_its_percentage_is():
    series = ["100", "106", "117", "119", "119"]

    assert ticks(said(rule("change", percent=5, window="10m", cooldown="1h", step=3), series)) == [1, 3]


def test_a_deviation_is_further_when_its_score_is():
    series = [*["9", "11"] * 20, "14", "30"]
    alerts = said(rule("deviation", cooldown="1h", step=3), series)

    assert ticks(alerts) == [40, 41]
    assert (alerts[1].ratio or 0) > 3 * (alerts[0].ratio or 0)


def test_exactly_a_step_further_is_not_further():
    """1 / 61 and 2 / 61: rounded, the second is more than twice the first."""
    moved = {"percent": "1.5", "window": "1h", "cooldown": "1h", "direction": "up"}

    for since in ("extreme", "start"):
        assert ticks(said(rule("change", step=2, since=since, **moved), ["61", "62", "61", "63"])) == [1]
        assert ticks(said(rule("change", step=2, since=since, **moved), ["61", "62", "61", "63.00000000001"])) == [1, 3]
        assert ticks(said(rule("change", step="1.9999999999", since=since, **moved), ["61", "62", "61", "63"])) == [
            1,
            3,
        ]


SERIES = st.lists(st.integers(900, 1100), min_size=6, max_size=30)
STEPS = st.sampled_from([Fraction(1), Fraction(5, 4), Fraction(3, 2), Fraction(2)])


def told_by(extents, step):
    """Return when something is told, by how far it is at each tick where it holds; within an endless cooldown."""
    told, last = [], None
    for at, extent in extents:
        if last is None or extent > step * last:
            told.append(at)
            last = extent
    return told


@given(SERIES, STEPS, st.sampled_from(["up", "down"]))
def test_a_change_is_told_again_exactly_when_fractions_say_that_it_is_further(series, step, direction):
    extents = []
    for at, value in enumerate(series):
        if series[:at]:
            base = min(series[:at]) if direction == "up" else max(series[:at])
            part = Fraction(value - base, base) * (1 if direction == "up" else -1)
            if part > Fraction(1, 100):
                extents.append((at, part))

    moved = rule("change", percent=1, window="1d", cooldown="1d", step=f"{float(step)}", direction=direction)
    assert ticks(said(moved, map(str, series))) == told_by(extents, step)


@given(SERIES, STEPS)
def test_a_deviation_is_told_again_exactly_when_the_squares_say_that_it_is_further(series, step):
    extents = []
    for at, value in enumerate(series):
        before = [Fraction(each) for each in series[:at]]
        if len(before) >= 2:
            mean = sum(before) / len(before)
            variance = sum((each - mean) ** 2 for each in before) / len(before)
            if (value - mean) ** 2 > variance > 0:
                extents.append((at, (value - mean) ** 2 / variance))
            elif not variance and value != mean:
                extents.append((at, None))
    if any(extent is None for _, extent in extents):
        return  # from a day that stood still nothing is measured

    off = rule("deviation", score=1, min_samples=2, cooldown="1d", step=f"{float(step)}")
    assert ticks(said(off, map(str, series))) == told_by(extents, step**2)


NUMBERS = st.builds(lambda units, places: f"{units / 10**places:.{places}f}", st.integers(-999, 999), st.integers(0, 2))


@given(NUMBERS, NUMBERS, st.sampled_from(["1", "1.5", "3"]), st.booleans())
def test_further_is_what_fractions_say(now, then, step, down):
    value, told, factor = Fraction(now), Fraction(then), Fraction(step)
    if down:
        value, told = -value, -told
    further = value > factor * told if told >= 0 else factor * value > told

    assert is_further(now, then, parse_decimal(step), down=down) is further


def test_a_step_of_zero_is_never_far_enough():
    assert not is_further("100", "1", (0, 0))
    assert not is_further(None, "1", (3, 0))
    assert not is_further("1", None, (3, 0))


def test_nobody_speaks_who_does_not_fire():
    assert not should_notify(RuleState(PENDING, NOON), NOON, 0, moved_on=True)


def test_it_must_hold_for_as_long_as_it_is_told_to():
    held = rule("threshold", above=1, for_="2m", cooldown="1h")

    assert ticks(said(held, ["2", "2", "1", "2", "2", "2", "2"])) == [5]


def test_no_data_keeps_the_phase():
    held = rule("threshold", above=1, for_="3m", cooldown="1h")

    assert ticks(said(held, ["2", None, None, "2"])) == [3]
    resolving = rule("threshold", above=1, cooldown="1h", resolved=True)
    assert [(alert.event, alert.at) for alert in said(resolving, ["2", None, None, "1"])] == [
        ("firing", NOON),
        ("resolved", NOON + 3 * MINUTE),
    ]


def test_states_are_read_as_they_were_written():
    states = {
        "a": RuleState(FIRING, NOON, NOON, "1.5", "a.A:B.1", sent=True),
        "b": RuleState(RESOLVED, NOON, NOON, None),
        "c": RuleState(PENDING, NOON),
    }

    assert read_states(json.loads(json.dumps(write_states(states)))) == states


SCRIPT = [
    rule("ratio", id="ratio", min_samples=2, cooldown="5m", step=2, resolved=True),
    rule("threshold", id="held", above=5, for_="2m", cooldown="3m", step=1.5),
    rule("change", id="change", percent=50, window="3m", cooldown="2m"),
    rule("deviation", id="deviation", min_samples=3, cooldown="4m", step=2),
    rule("rank", id="rank", min_samples=1, top=1, cooldown="1m"),
    rule("stale", id="stale", intervals=2, cooldown="3m", resolved=True),
    rule("frozen", id="frozen", window="3m", min_samples=2, cooldown="5m"),
]
VALUES = st.none() | st.sampled_from(["1", "2", "5", "6", "10", "40"])


@given(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=40))
def test_a_restart_at_every_step_gives_the_same_log_to_the_byte(ticks_of_both):
    series = [
        *zip(
            *[
                [{"price": value, "interval_volume": "1"} if value else None for value in each]
                for each in ticks_of_both
            ],
            strict=True,
        )
    ]

    whole = Sampler(SCRIPT).play(*series)
    restarted = Sampler(SCRIPT, is_restarted=True).play(*series)

    assert json.dumps([alert._asdict() for alert in restarted]) == json.dumps([alert._asdict() for alert in whole])


def test_the_script_says_something_of_every_kind():
    values = ["1", "1", "1", "6", "6", "6", "6", "40", None, None, None, "1", "1", "40"]
    series = [{"price": value, "interval_volume": "1"} if value else None for value in values]

    assert {alert.rule for alert in Sampler(SCRIPT).play(series, [{"price": "1"}] * 14)} == {each.id for each in SCRIPT}
