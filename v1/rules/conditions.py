"""
When a rule holds, kind by kind, decided in integers. What follows from it is `phases`' business.

Each condition gives a `Verdict`, or `None` where there is nothing to judge by: no sample, or too few
numbers before it. `None` keeps a rule in the phase it is in.
"""

from collections.abc import Callable, Mapping, Sequence
from math import gcd, isqrt
from operator import neg, pos
from typing import NamedTuple

from .. import moments
from ..decimals import Number, difference, parse, power
from ..extremes import Extreme, Span
from ..model import DAY, HOUR, MEASURES, Measure
from ..moments import Moments
from ..records import LOOKS_AT_NOTHING, Look, Step
from .alert import ReferenceKind
from .rule import FROM_START, Kind, Rule

_SCORE_PLACES = 12
_TOWARDS: Mapping[str, Callable[[int], int]] = {"up": pos, "down": neg, "both": abs}
"""How far something moved in the direction that a rule asks for; below zero: the other way."""
_PRICE, _VOLUME, _TRADED = (
    MEASURES.index(measure) for measure in (Measure.PRICE, Measure.VOLUME, Measure.INTERVAL_VOLUME)
)


class Verdict(NamedTuple):
    """Whether a rule holds, and the evidence."""

    over: bool
    value: str | None = None
    """What was judged."""
    baseline: Moments | None = None
    """What it was compared with, if that was a mean."""
    since: int | None = None
    """The tick from which on that was counted."""
    compared: float | None = None
    """By how much: a ratio, a percentage, a number of deviations; below the baseline it is negative."""
    extent: str | None = None
    """
    How far it is, as `step` measures it, exactly: the value, the size of the part that it moved by, or the square of
    the deviations; a decimal text, or two whole numbers with `/` between.
    """
    metrics: int | None = None
    """How many metrics it is about, where it is about a source."""
    reference: str | None = None
    """What it was compared with, if that was one number."""
    reference_kind: ReferenceKind | None = None


Condition = Callable[[Step, int], Verdict | None]
"""Judges a step at its tick."""

QUIET = Verdict(over=False)


IsExpected = Callable[[Step], bool]
"""Tells whether somebody is still asked for samples of the metric; its silence is none where nobody is."""


def all_are_expected(_: Step) -> bool:
    return True


def condition(rule: Rule, interval: int, is_expected: IsExpected = all_are_expected) -> Condition | None:
    """Give the condition of a rule that looks at one metric alone; `None` of a rank rule, which does not."""
    if rule.kind is Kind.STALE:
        return _stale(rule, interval, is_expected)
    make = _MAKERS.get(rule.kind)
    return make(rule, interval) if make else None


def look(rule: Rule) -> Look:
    """Say which samples before the tick the rule must see; none where the moments are enough."""
    if rule.kind is Kind.CHANGE:
        from_start = rule.since == FROM_START
        return Look(first_of=(rule.window,)) if from_start else Look(extremes_of=(_span(rule),))
    if rule.kind in (Kind.RATIO, Kind.FROZEN) and rule.window != HOUR:
        return Look(all_of=rule.window)
    return LOOKS_AT_NOTHING


def _ratio(rule: Rule, interval: int) -> Condition:
    index, factor, window, least = _index(rule), parse(rule.factor), rule.window, rule.least(interval)
    is_hour = window == HOUR

    def judge(step: Step, at: int) -> Verdict | None:
        value = step.sample.values[index] if step.sample else None
        if value is None:
            return None
        baseline = step.baseline[index] if is_hour else _before(step, index, at - window)
        if baseline.n < least:
            return None
        number = parse(value)
        if not moments.exceeds(number, factor, baseline):
            return QUIET
        return Verdict(True, value, baseline, at - window, _times(number, baseline), value)

    return judge


def _threshold(rule: Rule, _: int) -> Condition:
    index, is_above = _index(rule), rule.above is not None
    written = rule.above or rule.below or "0"
    bound, reference_kind = parse(written), ReferenceKind.ABOVE if is_above else ReferenceKind.BELOW

    def judge(step: Step, at: int) -> Verdict | None:
        value = step.sample.values[index] if step.sample else None
        if value is None:
            return None
        beyond = difference(parse(value), bound)
        if beyond[0] <= 0 if is_above else beyond[0] >= 0:
            return QUIET
        percent = _quotient((beyond[0] * 100, beyond[1]), (abs(bound[0]), bound[1])) if bound[0] else None
        return Verdict(
            True, value, since=at, compared=percent, extent=value, reference=written, reference_kind=reference_kind
        )

    return judge


class _Move(NamedTuple):
    """How far a value is from one before it."""

    part: Number
    """Moved / base as two whole numbers, the second above zero: 3 / 50 is a rise of 6 percent."""
    since: Extreme
    kind: ReferenceKind


def _change(rule: Rule, _: int) -> Condition:
    index, percent, towards = _index(rule), parse(rule.percent or "0"), _TOWARDS[rule.direction]
    bases = (_first if rule.since == FROM_START else _extremes)(rule)
    # moved / base > percent / 100, everything in integers.
    top, bottom = percent[0], 100 * power(percent[1])

    def judge(step: Step, at: int) -> Verdict | None:
        value = step.sample.values[index] if step.sample else None
        if value is None:
            return None
        moves = [_move(parse(value), *base) for base in bases(step, at)]
        if not moves:
            return None
        farthest = _farthest([move for move in moves if towards(move.part[0]) * bottom > top * move.part[1]])
        if farthest is None:
            return QUIET
        (moved, base_units), since, kind = farthest
        return Verdict(
            True,
            value,
            since=since.tick,
            compared=moved * 100 / base_units,
            extent=_fraction(abs(moved), base_units),
            reference=since.text,
            reference_kind=kind,
        )

    return judge


def _move(now: Number, base: Extreme, kind: ReferenceKind) -> _Move:
    moved, places = difference(now, base.number)
    return _Move((moved, base.number[0] * power(places - base.number[1])), base, kind)


_Bases = Callable[[Step, int], Sequence[tuple[Extreme, ReferenceKind]]]
"""What a change may be counted from; nothing where there is no value above zero."""


def _first(rule: Rule) -> _Bases:
    index, window = _index(rule), rule.window

    def bases(step: Step, at: int) -> Sequence[tuple[Extreme, ReferenceKind]]:
        first = next((sample for sample in step.found.recent if sample.tick >= at - window), None)
        then = first.values[index] if first else None
        if first is None or then is None:
            return ()
        base = Extreme(first.tick, then, parse(then))
        return ((base, ReferenceKind.FIRST),) if base.number[0] > 0 else ()

    return bases


def _extremes(rule: Rule) -> _Bases:
    span, goes_up, goes_down = _span(rule), rule.direction != "down", rule.direction != "up"

    def bases(step: Step, _: int) -> Sequence[tuple[Extreme, ReferenceKind]]:
        extremes = step.found.extremes.get(span)
        if extremes is None:
            return ()
        low = ((extremes.lowest, ReferenceKind.LOWEST),) if goes_up else ()
        return (*low, (extremes.highest, ReferenceKind.HIGHEST)) if goes_down else low

    return bases


def _farthest(moves: Sequence[_Move]) -> _Move | None:
    """Return the larger of one or two moves; `None` of none."""
    if len(moves) != 2:  # noqa: PLR2004  # up and down
        return moves[0] if moves else None
    (one, other), (left, right) = moves, [move.part for move in moves]
    return one if abs(left[0]) * right[1] >= abs(right[0]) * left[1] else other


def _deviation(rule: Rule, interval: int) -> Condition:
    index, score, least, towards = _index(rule), parse(rule.score), rule.least(interval), _TOWARDS[rule.direction]

    def judge(step: Step, at: int) -> Verdict | None:
        value = step.sample.values[index] if step.sample else None
        if value is None:
            return None
        number = parse(value)
        day = step.record.day[index].slide((), (number,))  # the day before it: the record counts it in already
        if day.n < least:
            return None
        off = _off(number, day)
        far, spread = towards(off), _spread(day)
        # off / n > score x sqrt(spread) / n, squared; on the other side it is never over.
        if far <= 0 or far**2 * power(2 * score[1]) <= score[0] ** 2 * spread:
            return QUIET
        if not spread:
            return Verdict(True, value, day, at - DAY)
        scores = isqrt(off**2 * power(2 * _SCORE_PLACES) // spread)  # through a float it might overflow
        compared = scores / power(_SCORE_PLACES)
        # Of the root there is no exact number.
        return Verdict(True, value, day, at - DAY, compared if off > 0 else -compared, _fraction(off**2, spread))

    return judge


def _frozen(rule: Rule, interval: int) -> Condition:
    window, least = rule.window, rule.least(interval)
    is_hour = window == HOUR

    def judge(step: Step, at: int) -> Verdict | None:
        if step.sample is None:
            return None
        prices, volumes, traded = [
            step.baseline[index] if is_hour else _before(step, index, at - window)
            for index in (_PRICE, _VOLUME, _TRADED)
        ]
        if prices.n < least:
            return None
        told = step.record.provider_time
        stands_still = told is not None and told <= at - window
        if stands_still or (_is_flat(step.sample.values[_PRICE], prices) and _trades(step, traded, volumes)):
            return Verdict(True, step.sample.values[_PRICE], prices, at - window)
        return QUIET

    return judge


def _stale(rule: Rule, interval: int, is_expected: IsExpected) -> Condition:
    silence = rule.intervals * interval

    def judge(step: Step, at: int) -> Verdict | None:
        stale = is_stale(step, at, silence)
        if stale is False:
            return QUIET
        return Verdict(True, since=step.record.newest) if stale and is_expected(step) else None

    return judge


_MAKERS = {
    Kind.RATIO: _ratio,
    Kind.THRESHOLD: _threshold,
    Kind.CHANGE: _change,
    Kind.DEVIATION: _deviation,
    Kind.FROZEN: _frozen,
}


def is_stale(step: Step, at: int, silence: int) -> bool | None:
    """
    Tell whether the metric's newest sample is `silence` seconds old, or more.

    `None` at the first tick after so long without one: there was nobody to hear it.
    """
    if step.sample is not None or at - step.record.newest < silence:
        return False
    before = step.found.record
    return True if before and at - before.at < silence else None


def _index(rule: Rule) -> int:
    return MEASURES.index(rule.measure)


def _span(rule: Rule) -> Span:
    return _index(rule), rule.window


def _fraction(top: int, bottom: int) -> str:
    """Write a fraction as a state keeps it, in lowest terms."""
    common = gcd(top, bottom)
    return f"{top // common}/{bottom // common}"


def _before(step: Step, index: int, since: int) -> Moments:
    return moments.of(
        [
            parse(value)
            for sample in step.found.recent
            if sample.tick >= since and (value := sample.values[index]) is not None
        ]
    )


def _off(number: Number, mean_of: Moments) -> int:
    """Give n x number - total in units of 10 ** -places; the number is not finer than the moments."""
    units, places = number
    return units * power(mean_of.places - places) * mean_of.n - mean_of.total


def _spread(of: Moments) -> int:
    return of.n * of.squares - of.total * of.total


def _is_flat(value: str | None, before: Moments) -> bool:
    """Tell whether all numbers are the same, the newest one, too."""
    if value is None or _spread(before):
        return False
    units, places = parse(value)
    return units * before.n * power(before.places) == before.total * power(places)


def _trades(step: Step, traded: Moments, volumes: Moments) -> bool:
    """Tell whether there was trade in the window."""
    if traded.n:
        return traded.total > 0
    # The volume of 24 hours falls by itself, as old trades leave it; above its own mean it has risen.
    value = step.sample.values[_VOLUME] if step.sample else None
    return value is not None and moments.exceeds(parse(value), (1, 0), volumes)


def _times(number: Number, baseline: Moments) -> float:
    """Give number / mean, rounded once."""
    return number[0] * baseline.n * power(baseline.places) / (baseline.total * power(number[1]))


def _quotient(top: Number, bottom: Number) -> float:
    return top[0] * power(bottom[1]) / (bottom[0] * power(top[1]))
