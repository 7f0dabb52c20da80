"""
When a rule holds, kind by kind, decided in integers. What follows from it is `phases`' business.

Each condition gives a `Verdict`, or `None` where there is nothing to judge by: no sample, or too few
numbers before it. `None` keeps a rule in the phase it is in.
"""

from collections.abc import Callable
from typing import NamedTuple

from .. import moments
from ..decimals import Number, difference, parse, power
from ..model import HOUR, MEASURES, Measure
from ..moments import Moments
from ..records import Step
from .rule import Kind, Rule


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
    """By how much: a ratio, a percentage, a number of deviations."""
    metrics: int | None = None
    """How many metrics it is about, where it is about a source."""


Condition = Callable[[Step, int], Verdict | None]
"""Judges a step at its tick."""

QUIET = Verdict(over=False)
_PRICE, _VOLUME, _TRADED = (
    MEASURES.index(measure) for measure in (Measure.PRICE, Measure.VOLUME, Measure.INTERVAL_VOLUME)
)


def condition(rule: Rule) -> Condition | None:
    """Give the condition of a rule whose kind looks at one metric alone; `None` for the other kinds."""
    make = _MAKERS.get(rule.kind)
    return make(rule) if make else None


def reach(rule: Rule) -> int:
    """Give how many seconds of samples before the tick the rule must see; 0 where the moments are enough."""
    moments_are_enough = rule.window == HOUR and rule.kind in (Kind.RATIO, Kind.FROZEN)
    sees_back = rule.kind in (Kind.RATIO, Kind.FROZEN, Kind.CHANGE)
    return rule.window if sees_back and not moments_are_enough else 0


def _ratio(rule: Rule) -> Condition:
    index, factor, window, least = MEASURES.index(rule.measure), parse(rule.factor), rule.window, rule.min_samples

    def judge(step: Step, at: int) -> Verdict | None:
        value = step.sample.values[index] if step.sample else None
        if value is None:
            return None
        baseline = step.baseline[index] if window == HOUR else _before(step, index, at - window)
        if baseline.n < least:
            return None
        number = parse(value)
        if not moments.exceeds(number, factor, baseline):
            return QUIET
        return Verdict(True, value, baseline, at - window, _times(number, baseline))

    return judge


def _threshold(rule: Rule) -> Condition:
    index = MEASURES.index(rule.measure)
    bound, sign = (parse(rule.above), 1) if rule.above is not None else (parse(rule.below or "0"), -1)

    def judge(step: Step, at: int) -> Verdict | None:
        value = step.sample.values[index] if step.sample else None
        if value is None:
            return None
        return Verdict(sign * difference(parse(value), bound)[0] > 0, value, since=at)

    return judge


def _change(rule: Rule) -> Condition:
    index, percent, window = MEASURES.index(rule.measure), parse(rule.percent or "0"), rule.window

    def judge(step: Step, at: int) -> Verdict | None:
        value = step.sample.values[index] if step.sample else None
        earlier = [sample for sample in step.found.recent if sample.tick >= at - window]
        then = next((sample.values[index] for sample in earlier if sample.values[index] is not None), None)
        if value is None or then is None or parse(then)[0] <= 0:
            return None
        base, (moved, places) = parse(then), difference(parse(value), parse(then))
        signed = {"up": moved, "down": -moved, "both": abs(moved)}[rule.direction]
        # moved / base > percent / 100, everything in integers.
        over = signed * 100 * power(base[1] + percent[1]) > percent[0] * base[0] * power(places)
        return Verdict(over, value, since=earlier[0].tick, compared=_quotient((moved * 100, places), base))

    return judge


def _deviation(rule: Rule) -> Condition:
    index, score, least = MEASURES.index(rule.measure), parse(rule.score), rule.min_samples

    def judge(step: Step, at: int) -> Verdict | None:
        value = step.sample.values[index] if step.sample else None
        if value is None:
            return None
        number = parse(value)
        day = step.record.day[index].slide((), (number,))  # the day before it: the record counts it in already
        if day.n < least:
            return None
        off, spread = _off(number, day), day.n * day.squares - day.total * day.total
        signed = {"up": off, "down": -off, "both": abs(off)}[rule.direction]
        # off / n > score x sqrt(spread) / n, squared; a negative side is never over.
        over = signed > 0 and signed**2 * power(2 * score[1]) > score[0] ** 2 * spread
        return Verdict(over, value, day, at - 24 * HOUR, _scores(off, spread) if over else None)

    return judge


def _frozen(rule: Rule) -> Condition:
    window, least = rule.window, rule.min_samples

    def judge(step: Step, at: int) -> Verdict | None:
        if step.sample is None:
            return None
        prices, volumes, traded = [
            step.baseline[index] if window == HOUR else _before(step, index, at - window)
            for index in (_PRICE, _VOLUME, _TRADED)
        ]
        if prices.n < least:
            return None
        value = step.sample.values[_PRICE]
        flat = value is not None and not _spread(prices) and not _off(parse(value), prices)
        moves = traded.total > 0 or _spread(volumes) > 0
        told = step.record.provider_time
        stands_still = told is not None and told <= at - window
        return Verdict((flat and moves) or stands_still, value, prices, at - window)

    return judge


_MAKERS = {
    Kind.RATIO: _ratio,
    Kind.THRESHOLD: _threshold,
    Kind.CHANGE: _change,
    Kind.DEVIATION: _deviation,
    Kind.FROZEN: _frozen,
}


def is_stale(step: Step, at: int, silence: int) -> bool:
    """Tell whether the metric's newest sample is `silence` seconds old, or more."""
    return step.sample is None and at - step.record.newest >= silence


def _before(step: Step, index: int, since: int) -> Moments:
    return moments.of(
        [
            parse(value)
            for sample in step.found.recent
            if sample.tick >= since and (value := sample.values[index]) is not None
        ]
    )


def _off(number: Number, mean_of: Moments) -> int:
    """Give n x number - total in units of 10 ** -places: n x how far it is off the mean."""
    units, places = number
    # A number finer than the series is counted in its own places; only the sign and the square's scale matter.
    finer = max(places, mean_of.places)
    return units * power(finer - places) * mean_of.n - mean_of.total * power(finer - mean_of.places)


def _spread(of: Moments) -> int:
    return of.n * of.squares - of.total * of.total


def _times(number: Number, baseline: Moments) -> float:
    """Give number / mean, rounded once."""
    return number[0] * baseline.n * power(baseline.places) / (baseline.total * power(number[1]))


def _quotient(top: Number, bottom: Number) -> float:
    return top[0] * power(bottom[1]) / (bottom[0] * power(top[1]))


def _scores(off: int, spread: int) -> float | None:
    return off / spread**0.5 if spread else None
