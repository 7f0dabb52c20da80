"""
Candles that are shorter than an hour, made of the samples of the kept day. Pure.

The candle [S, S + length) is made of the samples with a tick in (S, S + length], as an hour is (see `candles`).
"""

from collections.abc import Sequence
from itertools import groupby

from ..model import DAY, Metric, Sample
from .candles import CandleLength, CandleRow, HourSlot, make_hour_from_samples, make_row, start_sums


def find_first_start(newest: int, length: CandleLength) -> int:
    """Return the start of the oldest candle that lies wholly in the kept day, (newest - 24 h, newest]."""
    return length.find_start(newest - DAY - 1) + length.seconds


def make_short_candles(
    metric: Metric, length: CandleLength, samples: Sequence[Sample], interval: int
) -> list[CandleRow]:
    """Return a candle for each stretch of `length` that has a price. `samples` come oldest first, every `interval` seconds."""
    rows = []
    for start, group in groupby(samples, key=lambda sample: length.find_start(sample.tick - 1)):
        made = make_hour_from_samples(HourSlot(metric, start, 0), [*group], interval)
        if made:
            rows.append(make_row(start_sums(made._replace(revision=0))))
    return rows
