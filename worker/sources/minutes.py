"""What the candles of every provider go through. Pure; which column holds what, each provider says."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from worker.latest import MINUTE, Candle, decimals
from worker.sources.base import number
from worker.sources.fields import pick, whole


class Columns(NamedTuple):
    """Where a row holds what. No two providers agree."""

    time: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    start: Callable[[int], int]
    """Makes the candle's start, unix seconds, of the number in `time`."""
    length: int = MINUTE
    """Seconds."""


def finished(rows: Iterable[object], columns: Columns, start: int, end: int, rejects: Counter[str]) -> Sequence[Candle]:
    """
    Give the candles that lie whole in [start, end), oldest first, each once.

    So the one that is still running at `end` is left out. An unreadable one is left out and counted.
    """
    candles = [candle for candle in _read(rows, columns, rejects) if start <= candle.start <= end - columns.length]
    return sorted({candle.start: candle for candle in candles}.values())


def _read(rows: Iterable[object], columns: Columns, rejects: Counter[str]) -> Iterator[Candle]:
    for row in rows:
        candle = _candle(row, columns)
        if candle is None:
            rejects["unreadable candle"] += 1
        else:
            yield candle


def _candle(row: object, columns: Columns) -> Candle | None:
    time, *places, start, length = columns
    at = whole(pick(row, time))
    texts = [text for place in places if (text := number(pick(row, place))) is not None]
    if at is None or len(texts) != len(places) or start(at) % length or start(at) < 0:
        return None
    candle = Candle(start(at), *texts)
    return candle if _is_sound(candle) else None


def _is_sound(candle: Candle) -> bool:
    """Tell whether the numbers are where they are said to be: 0 < low <= open, close <= high."""
    parsed = [decimals.parse(text) for text in candle[1:]]
    # All at the same power of ten, so that they compare as integers.
    places = max(number[1] for number in parsed)
    opened, high, low, close, volume = [units * decimals.power(places - each) for units, each in parsed]
    return 0 < low <= min(opened, close) and max(opened, close) <= high and volume >= 0
