"""What the candles of every provider go through. Pure; which column holds what, each provider says."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from worker.latest import MINUTE, Candle, candles
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
    told = [candle for candle in _read(rows, columns, rejects) if start <= candle.start <= end - columns.length]
    return sorted({candle.start: candle for candle in told}.values())


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
    return candle if candles.fault(candle) is None else None
