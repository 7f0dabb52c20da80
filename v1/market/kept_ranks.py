"""
The places of all metrics at one tick, packed, as they are kept of the past day. Pure.

    unsigned 16-bit numbers, the high byte first:
    how many metrics are ranked, a number for each rank
    the places of all metrics in one rank, in the order of their names; 0: none
    ... the same of the next rank

A metric takes 24 bytes for twelve ranks. A place beyond 65,535 is not kept.
"""

import struct
from collections.abc import Sequence
from typing import NamedTuple

from ..model import MEASURES, MINUTE, By, Measure, Metric
from .ranks import Rankings, Scores

EVERY_SECONDS = 15 * MINUTE
"""Between two ticks whose places are kept."""
MOST = 2**16 - 1
"""The largest number that is kept."""
COLUMNS: Sequence[tuple[Measure, By]] = [(measure, by) for measure in MEASURES for by in By]
"""The ranks in the order in which they are kept."""


class PackedRanks(NamedTuple):
    """The places at one tick."""

    names: Sequence[Metric]
    """Of the metrics that have any, sorted."""
    packed: bytes


def pack_ranks(rankings: Rankings) -> PackedRanks:
    """Return the places of a tick."""
    columns = [rankings.ranks[column] for column in COLUMNS]
    names = sorted({metric for scores in columns for _, metric in scores})
    numbers = [min(len(scores), MOST) for scores in columns]
    for scores in columns:
        places = _find_places(scores)
        numbers += [places.get(name, 0) for name in names]
    return PackedRanks(names, struct.pack(f">{len(numbers)}H", *numbers))


def find_quarter(at: int) -> int:
    """Return the beginning of the quarter of an hour of a tick: the places of one tick are kept of each."""
    return at // EVERY_SECONDS * EVERY_SECONDS


def find_count(measure: Measure, by: By) -> int:
    """Return which of the numbers says how many metrics a rank has."""
    return COLUMNS.index((measure, by))


def find_place(measure: Measure, by: By, index: int, metrics: int) -> int:
    """Return which of the numbers is the place of the metric that is at `index` among the names of `metrics`."""
    return len(COLUMNS) + metrics * COLUMNS.index((measure, by)) + index


def _find_places(scores: Scores) -> dict[Metric, int]:
    """Return the place of each metric, 1 for the largest; equal values share a place: 1, 1, 3."""
    places: dict[Metric, int] = {}
    place, above = 0, None
    for number, (value, metric) in enumerate(sorted(scores, reverse=True), 1):
        if value != above:
            place, above = number, value
        if place <= MOST:
            places[metric] = place
    return places
