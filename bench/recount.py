"""
What recorded candles must come to, worked out from the files alone and from scratch: in fractions, over
whole windows, with no code of the product. Slow, and easy to believe.
"""

import csv
import gzip
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, localcontext
from fractions import Fraction
from math import inf, nextafter
from pathlib import Path
from typing import NamedTuple

MEASURES = ("price", "volume", "change_percentage", "change_absolute", "interval_volume", "interval_return")
DAY, HOUR, MINUTE = 86_400, 3_600, 60
UNIT = 10**30
"""All sums are of integers in units of 1 / `UNIT`: no recorded number is finer."""
CHANGE_PLACES, RETURN_PLACES = 3, 4


class Counted(NamedTuple):
    """Exact figures of one series in one window."""

    n: int
    total: int
    squares: int

    @property
    def mean(self) -> Fraction:
        return Fraction(self.total, self.n * UNIT)

    @property
    def variance(self) -> Fraction:
        return Fraction(self.n * self.squares - self.total**2, (self.n * UNIT) ** 2)

    @property
    def relative_variance(self) -> Fraction | None:
        """Variance over the square of the mean; `None` where that is zero."""
        return Fraction(self.n * self.squares - self.total**2, self.total**2) if self.total else None


class Series:
    """One pair's samples: what each tick must hold, as text, and the same as numbers."""

    def __init__(self, path: Path) -> None:
        rows = list(_rows(path))
        self.ticks = [start + MINUTE for start, _, _ in rows]
        columns = _Columns([close for _, close, _ in rows], [volume for _, _, volume in rows], self.ticks)
        self.texts = columns.texts()
        # Missing numbers are left out, so each measure has ticks of its own.
        self._numbers = [_numbers(self.ticks, column) for column in zip(*self.texts, strict=True)]

    def between(self, after: int, until: int) -> list[tuple[int, tuple[str | None, ...]]]:
        """Return the samples with after < tick <= until."""
        span = slice(bisect_right(self.ticks, after), bisect_right(self.ticks, until))
        return list(zip(self.ticks[span], self.texts[span], strict=True))

    def count(self, place: int, first: int, beyond: int) -> Counted:
        """Count the numbers of a measure with first <= tick < beyond."""
        ticks, numbers, squares = self._numbers[place]
        span = slice(bisect_left(ticks, first), bisect_left(ticks, beyond))
        return Counted(span.stop - span.start, sum(numbers[span]), sum(squares[span]))


def recorded(folder: Path) -> Mapping[str, Series]:
    """Read all pairs of a folder, by metric."""
    exchange = folder.name.partition("-")[0].upper()
    return {
        f"{exchange}:{path.name.partition('.')[0].replace('_', '')}": Series(path)
        for path in sorted(folder.glob("*.csv.gz"))
    }


def is_nearest(value: float, exact: Fraction) -> bool:
    """Return whether no other double is nearer to `exact` than `value` is."""
    low, high = _neighbourhood(value)
    return low <= exact <= high


def is_nearest_root(value: float, square: Fraction) -> bool:
    """Return whether no other double is nearer to the root of `square` than `value` is."""
    low, high = _neighbourhood(value)
    return value == square == 0 or (low >= 0 and low**2 <= square <= high**2)


def _neighbourhood(value: float) -> tuple[Fraction, Fraction]:
    """Return where the nearer double is another one, below and above."""
    below, above = Fraction(nextafter(value, -inf)), Fraction(nextafter(value, inf))
    return (below + Fraction(value)) / 2, (above + Fraction(value)) / 2


def _rows(path: Path) -> Iterator[tuple[int, str, str]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            yield int(row["timestamp"]), row["close"], row["volume"]


class _Columns:
    """Derives what the files do not hold."""

    def __init__(self, closes: Sequence[str], volumes: Sequence[str], ticks: Sequence[int]) -> None:
        self._closes, self._volumes, self._ticks = closes, volumes, ticks
        self._prices = [_units(close) for close in closes]
        self._traded = [_units(volume) for volume in volumes]
        self._places = [_places(volume) for volume in volumes]

    def texts(self) -> list[tuple[str | None, ...]]:
        return [self._texts(row) for row in range(len(self._ticks))]

    def _texts(self, row: int) -> tuple[str | None, ...]:
        volume = absolute = percentage = None
        # The newest one at or before a day ago; all after it are the day.
        then = bisect_right(self._ticks, self._ticks[row] - DAY) - 1
        if then >= 0:
            day = slice(then + 1, row + 1)
            volume = _text(sum(self._traded[day]), max(self._places[day]))
            places = max(_places(self._closes[row]), _places(self._closes[then]))
            absolute = _text(self._prices[row] - self._prices[then], places)
            percentage = self._percent(row, then, CHANGE_PLACES)
        since = self._percent(row, row - 1, RETURN_PLACES) if row else None
        return self._closes[row], volume, percentage, absolute, self._volumes[row], since

    def _percent(self, now: int, then: int, places: int) -> str | None:
        if not self._prices[then]:
            return None
        percent = Fraction((self._prices[now] - self._prices[then]) * 100, self._prices[then])
        rounded = round(percent, places)  # half to even
        return _text(int(rounded * UNIT), places)


def _numbers(ticks: Sequence[int], texts: Sequence[str | None]) -> tuple[list[int], list[int], list[int]]:
    known = [(tick, _units(text)) for tick, text in zip(ticks, texts, strict=True) if text is not None]
    return [tick for tick, _ in known], [units for _, units in known], [units * units for _, units in known]


def _units(text: str) -> int:
    units = Fraction(text) * UNIT
    if units.denominator != 1:
        raise ValueError(f"{text} is finer than 1 / {UNIT}")
    return units.numerator


def _places(text: str) -> int:
    return len(text.partition(".")[2])


def _text(units: int, places: int) -> str:
    with localcontext() as context:
        context.prec = 100
        return f"{Decimal(units) / UNIT:.{places}f}"
