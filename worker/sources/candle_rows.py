"""What the candles of every provider go through. Pure; which column holds what, each provider says."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from worker.latest import MINUTE, Candle, candles
from worker.sources.base import parse_number
from worker.sources.row_fields import parse_whole, pick_value


class CandleColumns(NamedTuple):
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


def parse_finished(
    rows: Iterable[object], columns: CandleColumns, start: int, end: int, rejects: Counter[str]
) -> Sequence[Candle]:
    """
    Return the candles that lie whole in [start, end), oldest first, each once.

    So the one that is still running at `end` is left out. An unreadable one is left out and counted.
    """
    told = [candle for candle in _parse_rows(rows, columns, rejects) if start <= candle.start <= end - columns.length]
    return sorted({candle.start: candle for candle in told}.values())


def _parse_rows(rows: Iterable[object], columns: CandleColumns, rejects: Counter[str]) -> Iterator[Candle]:
    for row in rows:
        candle = _parse_candle(row, columns)
        if candle is None:
            rejects["unreadable candle"] += 1
        else:
            yield candle


def _parse_candle(row: object, columns: CandleColumns) -> Candle | None:
    time, *places, start, length = columns
    at = parse_whole(pick_value(row, time))
    texts = [text for place in places if (text := parse_number(pick_value(row, place))) is not None]
    if at is None or len(texts) != len(places) or start(at) % length or start(at) < 0:
        return None
    candle = Candle(start(at), *texts)
    return candle if candles.find_fault(candle) is None else None
