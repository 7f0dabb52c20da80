"""
Hourly candles, made of samples or of a provider's candles, and longer ones made of hours. Pure: no clock, no
network, no Redis, no SQL.

The hour [H, H + 3600) is made of the samples with a tick in (H, H + 3600]: those whose sampled interval lies in it.

    open, close   the first and the last price
    high, low     the largest and the smallest price
    total         the exact sum of the prices, with the places of the finest
    mean          total / samples, rounded half to even, once, at `MEAN_PLACES` more places than the finest price has
    latest        the newest price that was known when the hour closed, its grace included
    volume        the exact sum of `interval_volume`; none where no sample has one
    samples       how many prices there are
    covered       seconds of the hour that they speak of, see `covered`: of what was sampled, samples x interval
    coverage      covered / 3600
    averaged      seconds that the total and the mean speak of: `covered`, or 0 where there is no total

Digits are as received; only an exponent is written out ("1.08e-05" is "0.0000108"), because PostgreSQL's NUMERIC has none.

A provider's candle knows more than samples do: its open, high and low are those of every trade. Of its minutes an
hour is made alike, with the closes as prices. What it says of a whole hour is kept beside that (see `exchange_hours`):
a candle is of the kind `exchange` where its open, high, low, close and volume are the provider's own, and `sampled`
where they are those of the prices that were sampled, or filled in. Minutes that were filled in have a range, too (see
`price_ranges`): where they are a part of a candle, its high and low are with them, and it is `mixed`.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from itertools import pairwise
from math import lcm
from typing import NamedTuple

from ..model import DAY, HOUR, MEASURES, MINUTE, Candle, Measure, Metric, Sample
from ..numbers.decimals import Number, divide_rounded, format_decimal, parse_decimal, power_of_ten, remove_exponent

MEAN_PLACES = 4
OF_SAMPLES = "samples"
"""The source of a candle that was made of samples; others bear a provider's name."""
MONDAY = 3 * DAY
"""Seconds from a Monday's midnight to 1970: weeks start there, and so does every shorter length."""

_PRICE, _TRADED = MEASURES.index(Measure.PRICE), MEASURES.index(Measure.INTERVAL_VOLUME)


class CandleKind(StrEnum):
    """Whose open, high, low, close and volume a candle has."""

    SAMPLED = "sampled"
    """Those of the samples: the open is the first price that was sampled, the high the largest of them."""
    EXCHANGE = "exchange"
    """Those of the exchange's own candle, of every trade."""


MIXED = "mixed"
"""The kind of a candle of which a part is sampled and a part the exchange's: some hours, or some minutes that were filled in."""


class HourCandle(NamedTuple):
    """One hour of one metric, as it was sampled or made of minutes, as the archive keeps it."""

    metric: Metric
    start: int
    """The first second, a multiple of 3600."""
    open: str
    high: str
    low: str
    close: str
    total: str | None
    mean: str | None
    latest: str
    volume: str | None
    samples: int
    covered: int
    source: str
    """Who knew it: `samples`, or the provider whose candles it was made of."""
    closed_at: int
    """When it was made, unix seconds."""
    revision: int = 1
    """1 when it was first written, and one more with every change."""
    ranged_open: str | None = None
    """The open with what is known of the minutes that were filled in, see `price_ranges`; `None` where nothing is."""
    ranged_high: str | None = None
    ranged_low: str | None = None
    ranged: int = 0
    """Seconds of the hour of which the exchange's own open, high and low are known, minute by minute."""

    @property
    def coverage(self) -> float:
        return self.covered / HOUR

    @property
    def averaged(self) -> int:
        """Seconds that the mean speaks of."""
        return 0 if self.total is None else self.covered


class HourSlot(NamedTuple):
    """Which hour is made, and when."""

    metric: Metric
    start: int
    at: int


class CandleLength(StrEnum):
    """How long a candle is. Days and weeks are UTC's; weeks start on Monday."""

    MINUTE = "1m"
    FIVE_MINUTES = "5m"
    QUARTER_HOUR = "15m"
    HALF_HOUR = "30m"
    HOUR = "1h"
    FOUR_HOURS = "4h"
    DAY = "1d"
    WEEK = "1w"

    @property
    def seconds(self) -> int:
        return int(self[:-1]) * {"m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}[self[-1]]

    @property
    def is_short(self) -> bool:
        """Whether it is shorter than the hours that are archived: such candles are made of the samples of the day."""
        return self.seconds < HOUR

    def find_start(self, at: int) -> int:
        """Return the start of the candle that holds the second `at`."""
        return (at + MONDAY) // self.seconds * self.seconds - MONDAY


class CandleSums(NamedTuple):
    """What all hours of a longer candle come to, and what more of them can be added to."""

    start: int
    open: str
    high: str
    low: str
    close: str
    total: str | None
    counted: int
    """How many prices are behind the total."""
    latest: str
    volume: str | None
    samples: int
    covered: int
    averaged: int
    revision: int
    kind: str = CandleKind.SAMPLED
    """A `CandleKind`, or `MIXED`."""


class CandleRow(NamedTuple):
    """A candle of any length on its way out; nothing but a start where it only fills a gap."""

    start: int
    open: str | None
    high: str | None
    low: str | None
    close: str | None
    mean: str | None
    latest: str | None
    volume: str | None
    samples: int
    covered: int
    averaged: int
    """Seconds that the mean speaks of."""
    revision: int
    kind: str | None = CandleKind.SAMPLED
    """A `CandleKind`, or `MIXED`; `None` of what only fills a gap."""


class GapFill(StrEnum):
    """What stands where nothing is known."""

    NONE = "none"
    """Nothing: the candle is missing."""
    NULL = "null"
    PREVIOUS = "previous"
    """A flat candle at the last close before; null where there is none."""


def make_hour_from_samples(
    slot: HourSlot, samples: Sequence[Sample], interval: int, latest: str | None = None
) -> HourCandle | None:
    """
    Make an hour of its samples, oldest first; `None` where no price is among them.

    `latest` is the newest price after the hour, if there was one when it closed.
    """
    prices = [(sample.tick - slot.start, price) for sample in samples if (price := sample.values[_PRICE]) is not None]
    volumes = [volume for sample in samples if (volume := sample.values[_TRADED]) is not None]
    return make_hour_from_prices(slot, prices, volumes, interval, latest)


def make_hour_from_prices(
    slot: HourSlot, known: Sequence[tuple[int, str]], volumes: Sequence[str], interval: int, latest: str | None = None
) -> HourCandle | None:
    """
    Make an hour of what its samples know: their prices, each with its seconds after the start, and their interval
    volumes, oldest first.
    """
    if not known:
        return None
    prices = [price for _, price in known]
    places, units = _align(prices)
    total = sum(units), places
    return HourCandle(
        slot.metric,
        slot.start,
        remove_exponent(prices[0]),
        remove_exponent(prices[units.index(max(units))]),
        remove_exponent(prices[units.index(min(units))]),
        remove_exponent(prices[-1]),
        format_decimal(total),
        round_mean(total, len(prices)),
        remove_exponent(latest or prices[-1]),
        sum_exactly(volumes),
        len(prices),
        count_covered_seconds([seconds for seconds, _ in known], interval),
        OF_SAMPLES,
        slot.at,
    )


def count_covered_seconds(ticks: Sequence[int], interval: int) -> int:
    """
    Return how many seconds of an hour are covered by prices, by their seconds after its start, oldest first.

    Each stands for the time since the one before, an interval at most. One that was filled in from a provider's
    candles of a minute stands for the whole span of these, which is the shortest that holds whole minutes and whole
    intervals: it lies at the end of a span that holds no other.
    """
    span = lcm(interval, MINUTE)
    each = [
        span if tick % span == 0 and tick - before >= span else min(tick - before, interval)
        for before, tick in pairwise([0, *ticks])
    ]
    return min(HOUR, sum(each))


def make_hour_from_candles(slot: HourSlot, candles: Sequence[Candle], length: int, source: str) -> HourCandle | None:
    """Make an hour of a provider's candles of `length` seconds each, oldest first; `None` of none."""
    if not candles:
        return None
    closes = [candle.close for candle in candles]
    places, units = _align(closes)
    total = (sum(units), places) if length < HOUR else None
    return HourCandle(
        slot.metric,
        slot.start,
        remove_exponent(candles[0].open),
        remove_exponent(find_largest([candle.high for candle in candles])),
        remove_exponent(find_smallest([candle.low for candle in candles])),
        remove_exponent(closes[-1]),
        total and format_decimal(total),
        total and round_mean(total, len(closes)),
        remove_exponent(closes[-1]),
        sum_exactly([candle.volume for candle in candles]),
        len(candles),
        min(HOUR, len(candles) * length),
        source,
        slot.at,
    )


def find_fault(candle: Candle) -> str | None:
    """
    Return what cannot be true of a candle, or `None`: 0 < low <= open, close <= high, and 0 <= volume.

    Everything that candles are read from is held to it: providers and recordings.
    """
    _, (opened, high, low, close, volume) = _align(candle[1:])
    if min(opened, high, low, close) <= 0:
        return "a price of zero" if min(opened, high, low, close) == 0 else "a price below zero"
    if volume < 0:
        return "a volume below zero"
    if high < low:
        return "a high below its low"
    return None if low <= min(opened, close) and max(opened, close) <= high else "an open or close beyond high and low"


def start_sums(hour: HourCandle, length: int = HOUR, kind: CandleKind | None = None) -> CandleSums:
    """
    Begin a longer candle with one hour, or with what else is `length` seconds long.

    Its open, high and low are with the ranges of the minutes that were filled in, unless `kind` asks for what was sampled.
    """
    counted = 0 if hour.total is None else hour.samples
    middle = (hour.latest, hour.volume, hour.samples, hour.covered, hour.averaged)
    sums = CandleSums(*hour[1:7], counted, *middle, hour.revision)
    opened, high, low = hour.ranged_open, hour.ranged_high, hour.ranged_low
    if kind is CandleKind.SAMPLED or opened is None or high is None or low is None:
        return sums
    own = CandleKind.EXCHANGE if hour.ranged == length else MIXED
    return sums._replace(open=opened, high=high, low=low, kind=own)


def merge_sums(left: CandleSums, right: CandleSums) -> CandleSums:
    """Add what is known of later hours to what is known of earlier ones."""
    return CandleSums(
        left.start,
        left.open,
        find_largest([left.high, right.high]),
        find_smallest([left.low, right.low]),
        right.close,
        sum_exactly([total for total in (left.total, right.total) if total is not None]),
        left.counted + right.counted,
        right.latest,
        sum_exactly([volume for volume in (left.volume, right.volume) if volume is not None]),
        left.samples + right.samples,
        left.covered + right.covered,
        left.averaged + right.averaged,
        left.revision + right.revision,
        left.kind if left.kind == right.kind else MIXED,
    )


def make_row(known: CandleSums) -> CandleRow:
    """Return the candle; its mean is rounded here and nowhere before."""
    average = round_mean(parse_decimal(known.total), known.counted) if known.total is not None else None
    counts = known.samples, known.covered, known.averaged, known.revision, known.kind
    return CandleRow(*known[:5], average, known.latest, known.volume, *counts)


def group_hours(hours: Iterable[CandleSums], length: CandleLength) -> list[CandleSums]:
    """Put hours, or what is already longer, together to candles of `length`. They come oldest first."""
    made: list[CandleSums] = []
    for each in hours:
        start = length.find_start(each.start)
        if made and made[-1].start == start:
            made[-1] = merge_sums(made[-1], each)
        else:
            made.append(each._replace(start=start))
    return made


def fill_gaps(bars: Sequence[CandleRow], starts: range, gaps: GapFill, before: str | None = None) -> list[CandleRow]:
    """Return a candle for each of `starts`, on which all `bars` lie; `before` is the last close before the first."""
    known = {each.start: each for each in bars}
    whole = []
    for start in starts:
        there = known.get(start)
        if there is None:
            flat = before if gaps is GapFill.PREVIOUS else None
            there = CandleRow(start, flat, flat, flat, flat, None, None, None, 0, 0, 0, 0, None)
        before = there.close
        whole.append(there)
    return whole


def round_mean(total: Number, count: int) -> str:
    """Return total / count, rounded half to even at `MEAN_PLACES` more places than the total has."""
    return divide_rounded(total, (count, 0), total[1] + MEAN_PLACES)


def find_largest(numbers: Sequence[str]) -> str:
    """Return the largest number, in its own digits; of equal ones the first."""
    _, units = _align(numbers)
    return numbers[units.index(max(units))]


def find_smallest(numbers: Sequence[str]) -> str:
    """Return the smallest number, in its own digits; of equal ones the first."""
    _, units = _align(numbers)
    return numbers[units.index(min(units))]


def sum_exactly(numbers: Sequence[str]) -> str | None:
    """Return the exact sum, with the places of the finest number; `None` of none."""
    if not numbers:
        return None
    places, units = _align(numbers)
    return format_decimal((sum(units), places))


def _align(numbers: Sequence[str]) -> tuple[int, list[int]]:
    """Return all numbers as integers in units of 10 ** -places."""
    parsed = [parse_decimal(number) for number in numbers]
    places = max([number[1] for number in parsed])
    return places, [units if own == places else units * power_of_ten(places - own) for units, own in parsed]
