"""
One-minute candles turned into what a live sampler would have heard of the same market. Pure: no
clock, no files, no network; it holds one day of one metric, however long the candles are.

The candle [t, t + 60) becomes the reading of tick t + 60: `price` is its close, `interval_volume` its
volume, both digit for digit. `volume` and the changes follow from the day before the tick, and are
`None` until a whole day precedes it, that is until the first candle's tick is at T - 24 h or earlier:

    volume             exact sum of the candles with a tick in (T - 24 h, T], written with the places
                       of the finest number in it, so "1.0" and "2.50" make "3.50"
    change_absolute    price minus the price as of T - 24 h: the newest close at or before it, because
                       a minute without a trade may have no candle
    change_percentage  the same in percent of the price as of T - 24 h

Where the sampling interval is not a minute, samples fall on its common multiples with a minute: at
300 seconds five candles make a reading, at 5 seconds one candle makes one reading a minute. So a
candle is never split, and `interval_volume` is always all that was traded since the reading before.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from math import lcm

from worker.latest import DAY, MINUTE, Candle, Measure, Metric, Reading, Sample, decimals
from worker.latest.market import PriceRange, compute_change_percentage, compute_interval_return, make_range

Number = decimals.Number


class ReadingDeriver:
    """Makes the readings of one metric, tick after tick, out of its candles alone."""

    def __init__(self) -> None:
        self._day: deque[tuple[int, Number, Number]] = deque()
        self._traded = _RunningSum()
        self._newest = 0
        self._yesterday: Number | None = None

    def derive(self, tick: int, candles: Sequence[Candle]) -> Reading:
        """
        Return the reading of `tick` out of the candles since the reading before: one or more, oldest first.

        Raises `ValueError` where a candle is not newer than all before it: its volume would count twice.
        """
        self._check_order(candles)
        last = candles[-1]
        price, interval_volume = decimals.parse_decimal(last.close), _sum_volumes(candles)
        self._slide(tick, price, decimals.parse_decimal(interval_volume))
        volume = percentage = absolute = None
        if self._yesterday is not None:
            volume = decimals.format_decimal(self._traded.number)
            absolute = decimals.format_decimal(decimals.subtract(price, self._yesterday))
            percentage = compute_change_percentage(price, self._yesterday)
        return Reading(last.close, volume, percentage, absolute, interval_volume, last.start + MINUTE)

    def _check_order(self, candles: Sequence[Candle]) -> None:
        for candle in candles:
            if candle.start < self._newest:
                raise ValueError(f"the candle of {candle.start} is not newer than one that ended at {self._newest}")
            self._newest = candle.start + MINUTE

    def _slide(self, tick: int, price: Number, traded: Number) -> None:
        self._day.append((tick, price, traded))
        self._traded.add(traded)
        while self._day[0][0] <= tick - DAY:
            _, self._yesterday, gone = self._day.popleft()
            self._traded.remove(gone)


class _RunningSum:
    """An exact sum that numbers enter and leave, with the places of the finest that is in it."""

    def __init__(self) -> None:
        self._units = 0
        self._places = 0
        self._numbers: Counter[int] = Counter()

    def add(self, number: Number) -> None:
        units, places = number
        if places > self._places:
            self._units *= decimals.power_of_ten(places - self._places)
            self._places = places
        self._units += units * decimals.power_of_ten(self._places - places)
        self._numbers[places] += 1

    def remove(self, number: Number) -> None:
        units, places = number
        self._units -= units * decimals.power_of_ten(self._places - places)
        self._numbers[places] -= 1
        if not self._numbers[places]:
            del self._numbers[places]

    @property
    def number(self) -> Number:
        finest = max(self._numbers, default=0)
        return self._units // decimals.power_of_ten(self._places - finest), finest


def _sum_volumes(candles: Sequence[Candle]) -> str:
    """Return the volume of all candles; of a single one as it was written."""
    if len(candles) == 1:
        return candles[0].volume
    total = _RunningSum()
    for candle in candles:
        total.add(decimals.parse_decimal(candle.volume))
    return decimals.format_decimal(total.number)


def derive_readings(candles: Iterable[Candle], interval: int = MINUTE) -> Iterator[tuple[int, Reading]]:
    """Return every tick that has a reading, and the reading, of one metric's candles, oldest first."""
    deriver = ReadingDeriver()
    step = lcm(interval, MINUTE)
    for tick, since in groupby(candles, lambda candle: _find_tick(candle.start + MINUTE, step)):
        yield tick, deriver.derive(tick, list(since))


def derive_market(
    ticks: Iterable[tuple[int, Mapping[Metric, Candle]]], interval: int = MINUTE
) -> Iterator[tuple[int, dict[Metric, Reading]]]:
    """
    Return every tick and its readings of a whole market, whose candles come minute by minute.

    A tick without a candle has no readings but is there: the clock runs through an outage.
    """
    derivers: defaultdict[Metric, ReadingDeriver] = defaultdict(ReadingDeriver)
    step = lcm(interval, MINUTE)
    for tick, minutes in groupby(ticks, lambda minute: _find_tick(minute[0], step)):
        since: defaultdict[Metric, list[Candle]] = defaultdict(list)
        for _, candles in minutes:
            for metric, candle in candles.items():
                since[metric].append(candle)
        yield tick, {metric: derivers[metric].derive(tick, some) for metric, some in since.items()}


def derive_samples(candles: Iterable[Candle], before_price: str | None = None, interval: int = MINUTE) -> list[Sample]:
    """
    Return the whole samples of one metric's candles, oldest first.

    `before_price` is the price of the sample before them; without it the first has no `interval_return`.
    """
    made = []
    before = None if before_price is None else decimals.parse_decimal(before_price)
    for tick, reading in derive_readings(candles, interval):
        price = decimals.parse_decimal(reading.price)
        values = {
            Measure.PRICE: reading.price,
            Measure.VOLUME: reading.volume,
            Measure.CHANGE_PERCENTAGE: reading.change_percentage,
            Measure.CHANGE_ABSOLUTE: reading.change_absolute,
            Measure.INTERVAL_VOLUME: reading.interval_volume,
            Measure.INTERVAL_RETURN: None if before is None else compute_interval_return(price, before),
        }
        made.append(Sample.make(tick, values))
        before = price
    return made


def derive_ranges(candles: Iterable[Candle], interval: int = MINUTE) -> dict[int, PriceRange]:
    """Return, by the tick of the sample that is made of them, what one metric's candles, oldest first, say beside the close."""
    step = lcm(interval, MINUTE)
    groups = groupby(candles, lambda candle: _find_tick(candle.start + MINUTE, step))
    return {tick: make_range([*some]) for tick, some in groups}


def _find_tick(end: int, step: int) -> int:
    """Return the tick whose reading a candle that ends at `end` belongs to."""
    return -(-end // step) * step
