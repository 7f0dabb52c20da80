"""
When a rule holds, kind by kind, decided in integers. What follows from it is `phases`' business.

Each condition gives a `Verdict`, or `None` where there is nothing to judge by: no sample, or too few
numbers before it. `None` keeps a rule in the phase it is in.
"""

from collections.abc import Callable, Mapping, Sequence
from math import gcd, isqrt
from operator import neg, pos
from typing import NamedTuple

from ..market.extremes import Extreme, Span
from ..market.metric_state import NO_LOOKBACK, Lookback, StateUpdate
from ..model import DAY, HOUR, MEASURES, Measure
from ..numbers import moments
from ..numbers.decimals import Number, parse_decimal, power_of_ten, subtract
from ..numbers.moments import Moments
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

    holds: bool
    value: str | None = None
    """What was judged."""
    baseline: Moments | None = None
    """What it was compared with, if that was a mean."""
    since: int | None = None
    """The tick from which on that was counted."""
    compared: float | None = None
    """By how much: a ratio, a percentage, a number of deviations; below the baseline it is negative."""
    magnitude: str | None = None
    """
    How far it is, as `step` measures it, exactly: the value, the size of the part that it moved by, or the square of
    the deviations; a decimal text, or two whole numbers with `/` between.
    """
    metrics: int | None = None
    """How many metrics it is about, where it is about a source."""
    reference: str | None = None
    """What it was compared with, if that was one number."""
    reference_kind: ReferenceKind | None = None


Condition = Callable[[StateUpdate, int], Verdict | None]
"""Judges a step at its tick."""

QUIET = Verdict(holds=False)


IsExpected = Callable[[StateUpdate], bool]
"""Whether somebody is still asked for samples of the metric; its silence is none where nobody is."""


def is_always_expected(_: StateUpdate) -> bool:
    return True


def make_condition(rule: Rule, interval: int, is_expected: IsExpected = is_always_expected) -> Condition | None:
    """Return the condition of a rule that looks at one metric alone; `None` of a rank rule, which does not."""
    if rule.kind is Kind.STALE:
        return _stale(rule, interval, is_expected)
    make = _MAKERS.get(rule.kind)
    return make(rule, interval) if make else None


def make_lookback(rule: Rule) -> Lookback:
    """Say which samples before the tick the rule must see; none where the moments are enough."""
    if rule.kind is Kind.CHANGE:
        from_start = rule.since == FROM_START
        return Lookback(first_of=(rule.window,)) if from_start else Lookback(extremes_of=(_span(rule),))
    if rule.kind in (Kind.RATIO, Kind.FROZEN) and rule.window != HOUR:
        return Lookback(all_of=rule.window)
    return NO_LOOKBACK


def _ratio(rule: Rule, interval: int) -> Condition:
    index, factor, window, least = (
        _index(rule),
        parse_decimal(rule.factor),
        rule.window,
        rule.find_min_samples(interval),
    )
    is_hour = window == HOUR

    def judge(step: StateUpdate, at: int) -> Verdict | None:
        value = step.sample.values[index] if step.sample else None
        if value is None:
            return None
        baseline = step.baseline[index] if is_hour else _read_window(step, index, at - window)
        if baseline.n < least:
            return None
        number = parse_decimal(value)
        if not moments.is_exceeded(number, factor, baseline):
            return QUIET
        return Verdict(True, value, baseline, at - window, _ratio_to_mean(number, baseline), value)

    return judge


def _threshold(rule: Rule, _: int) -> Condition:
    index, is_above = _index(rule), rule.above is not None
    written = rule.above or rule.below or "0"
    bound, reference_kind = parse_decimal(written), ReferenceKind.ABOVE if is_above else ReferenceKind.BELOW

    def judge(step: StateUpdate, at: int) -> Verdict | None:
        value = step.sample.values[index] if step.sample else None
        if value is None:
            return None
        beyond = subtract(parse_decimal(value), bound)
        if beyond[0] <= 0 if is_above else beyond[0] >= 0:
            return QUIET
        percent = _divide((beyond[0] * 100, beyond[1]), (abs(bound[0]), bound[1])) if bound[0] else None
        return Verdict(
            True, value, since=at, compared=percent, magnitude=value, reference=written, reference_kind=reference_kind
        )

    return judge


class _Move(NamedTuple):
    """How far a value is from one before it."""

    part: Number
    """Moved / base as two whole numbers, the second above zero: 3 / 50 is a rise of 6 percent."""
    since: Extreme
    kind: ReferenceKind


def _change(rule: Rule, _: int) -> Condition:
    index, percent, towards = _index(rule), parse_decimal(rule.percent or "0"), _TOWARDS[rule.direction]
    bases = (_first if rule.since == FROM_START else _extremes)(rule)
    # moved / base > percent / 100, everything in integers.
    top, bottom = percent[0], 100 * power_of_ten(percent[1])

    def judge(step: StateUpdate, at: int) -> Verdict | None:
        value = step.sample.values[index] if step.sample else None
        if value is None:
            return None
        moves = [_move(parse_decimal(value), *base) for base in bases(step, at)]
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
            magnitude=_fraction(abs(moved), base_units),
            reference=since.text,
            reference_kind=kind,
        )

    return judge


def _move(now: Number, base: Extreme, kind: ReferenceKind) -> _Move:
    moved, places = subtract(now, base.number)
    return _Move((moved, base.number[0] * power_of_ten(places - base.number[1])), base, kind)


_Bases = Callable[[StateUpdate, int], Sequence[tuple[Extreme, ReferenceKind]]]
"""What a change may be counted from; nothing where there is no value above zero."""


def _first(rule: Rule) -> _Bases:
    index, window = _index(rule), rule.window

    def bases(step: StateUpdate, at: int) -> Sequence[tuple[Extreme, ReferenceKind]]:
        first = next((sample for sample in step.found.recent if sample.tick >= at - window), None)
        then = first.values[index] if first else None
        if first is None or then is None:
            return ()
        base = Extreme(first.tick, then, parse_decimal(then))
        return ((base, ReferenceKind.FIRST),) if base.number[0] > 0 else ()

    return bases


def _extremes(rule: Rule) -> _Bases:
    span, goes_up, goes_down = _span(rule), rule.direction != "down", rule.direction != "up"

    def bases(step: StateUpdate, _: int) -> Sequence[tuple[Extreme, ReferenceKind]]:
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
    index, score, least, towards = (
        _index(rule),
        parse_decimal(rule.score),
        rule.find_min_samples(interval),
        _TOWARDS[rule.direction],
    )

    def judge(step: StateUpdate, at: int) -> Verdict | None:
        value = step.sample.values[index] if step.sample else None
        if value is None:
            return None
        number = parse_decimal(value)
        day = step.record.day[index].update((), (number,))  # the day before it: the record counts it in already
        if day.n < least:
            return None
        off = _deviation_from_mean(number, day)
        far, spread = towards(off), _spread(day)
        # off / n > score x sqrt(spread) / n, squared; on the other side it is never over.
        if far <= 0 or far**2 * power_of_ten(2 * score[1]) <= score[0] ** 2 * spread:
            return QUIET
        if not spread:
            return Verdict(True, value, day, at - DAY)
        scores = isqrt(off**2 * power_of_ten(2 * _SCORE_PLACES) // spread)  # through a float it might overflow
        compared = scores / power_of_ten(_SCORE_PLACES)
        # Of the root there is no exact number.
        return Verdict(True, value, day, at - DAY, compared if off > 0 else -compared, _fraction(off**2, spread))

    return judge


def _frozen(rule: Rule, interval: int) -> Condition:
    window, least = rule.window, rule.find_min_samples(interval)
    is_hour = window == HOUR

    def judge(step: StateUpdate, at: int) -> Verdict | None:
        if step.sample is None:
            return None
        prices, volumes, traded = [
            step.baseline[index] if is_hour else _read_window(step, index, at - window)
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

    def judge(step: StateUpdate, at: int) -> Verdict | None:
        stale = judge_staleness(step, at, silence)
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


def judge_staleness(step: StateUpdate, at: int, silence: int) -> bool | None:
    """
    Return whether the metric's newest sample is `silence` seconds old, or more.

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


def _read_window(step: StateUpdate, index: int, since: int) -> Moments:
    return moments.count_moments(
        [
            parse_decimal(value)
            for sample in step.found.recent
            if sample.tick >= since and (value := sample.values[index]) is not None
        ]
    )


def _deviation_from_mean(number: Number, mean_of: Moments) -> int:
    """Return n x number - total in units of 10 ** -places; the number is not finer than the moments."""
    units, places = number
    return units * power_of_ten(mean_of.places - places) * mean_of.n - mean_of.total


def _spread(of: Moments) -> int:
    return of.n * of.squares - of.total * of.total


def _is_flat(value: str | None, before: Moments) -> bool:
    """Return whether all numbers are the same, the newest one, too."""
    if value is None or _spread(before):
        return False
    units, places = parse_decimal(value)
    return units * before.n * power_of_ten(before.places) == before.total * power_of_ten(places)


def _trades(step: StateUpdate, traded: Moments, volumes: Moments) -> bool:
    """Return whether there was trade in the window."""
    if traded.n:
        return traded.total > 0
    # The volume of 24 hours falls by itself, as old trades leave it; above its own mean it has risen.
    value = step.sample.values[_VOLUME] if step.sample else None
    return value is not None and moments.is_exceeded(parse_decimal(value), (1, 0), volumes)


def _ratio_to_mean(number: Number, baseline: Moments) -> float:
    """Return number / mean, rounded once."""
    return number[0] * baseline.n * power_of_ten(baseline.places) / (baseline.total * power_of_ten(number[1]))


def _divide(top: Number, bottom: Number) -> float:
    return top[0] * power_of_ten(bottom[1]) / (bottom[0] * power_of_ten(top[1]))
