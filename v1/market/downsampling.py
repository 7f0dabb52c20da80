"""
Fewer points that look the same: samples are chosen, and none is computed, so every digit is one that was received. Pure.

`select_triangles` is Largest-Triangle-Three-Buckets: Sveinn Steinarsson, "Downsampling Time Series for Visual
Representation", University of Iceland, 2013, section 4.2. It differs in one thing: the lowest and the highest sample of
all are always among the chosen, which the algorithm alone does not promise.
"""

from collections.abc import Sequence
from decimal import Decimal
from itertools import groupby, pairwise

FEWEST_POINTS = 4
"""The first, the last, the lowest and the highest sample."""


def pick_extremes(samples: Sequence[tuple[int, str]], step: int) -> list[tuple[int, str]]:
    """
    Return the lowest and the highest sample of each step (end - step, end] in the order of their ticks; one sample
    where both are the same. Of equal numbers the first counts. `samples` are (tick, number), oldest first.
    """
    groups = [[*group] for _, group in groupby(samples, key=lambda sample: -(-sample[0] // step))]
    return [group[place] for group in groups for place in sorted(_find_extremes(group))]


def select_triangles(samples: Sequence[tuple[int, str]], count: int) -> list[tuple[int, str]]:
    """
    Return `count` of the samples, oldest first, or all where there are no more; `count` is `FEWEST_POINTS` or more.

    There is one less where both extremes lie side by side and buckets can only be cut between them.
    """
    if len(samples) <= count:
        return [*samples]
    extremes = _find_extremes(samples)
    buckets = _split_inner(len(samples), count - 2)
    if any(extremes <= {*bucket} for bucket in buckets) and len(extremes) > 1:
        # One bucket gives two points then, and there is one bucket less.
        buckets = _split_inner(len(samples), count - 3)
    line = [(tick, float(number)) for tick, number in samples]
    chosen, before = [0], 0
    for place, bucket in enumerate(buckets):
        following = buckets[place + 1] if place + 1 < len(buckets) else range(len(samples) - 1, len(samples))
        kept = sorted(extremes & {*bucket}) or [_find_largest_triangle(line, before, bucket, following)]
        chosen += kept
        before = kept[-1]
    return [samples[place] for place in [*chosen, len(samples) - 1]]


def _find_extremes(samples: Sequence[tuple[int, str]]) -> set[int]:
    """Return where the lowest and the highest sample are."""
    numbers = [Decimal(number) for _, number in samples]  # compares exactly, whatever its context rounds to
    return {numbers.index(min(numbers)), numbers.index(max(numbers))}


def _split_inner(length: int, count: int) -> list[range]:
    """Return the places of all samples but the first and the last, in `count` parts of nearly the same length."""
    edges = [1 + part * (length - 2) // count for part in range(count + 1)]
    return [range(start, end) for start, end in pairwise(edges)]


def _find_largest_triangle(line: Sequence[tuple[int, float]], before: int, bucket: range, following: range) -> int:
    """Return the place in `bucket` that makes the largest triangle with the point before and the mean of the next bucket."""
    left, left_value = line[before]
    right = sum([line[place][0] for place in following]) / len(following) - left
    right_value = sum([line[place][1] for place in following]) / len(following) - left_value
    areas = [abs((line[place][0] - left) * right_value - (line[place][1] - left_value) * right) for place in bucket]
    return bucket[areas.index(max(areas))]
