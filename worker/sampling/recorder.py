"""Downloads the candles of some metrics from their source into a recording folder, at the source's own pace."""

import asyncio
import fcntl
import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import structlog

from worker.latest import DAY, HOUR, MINUTE, Candle, Metric
from worker.reporting.progress import ProgressCallback
from worker.sampling.recording import InvalidRecording
from worker.sampling.recording_files import RecordedPair, TimeSpan
from worker.sources.base import Hourly
from worker.sources.errors import RequestRefused, SourceError, SourceRefused
from worker.sources.supervised import SupervisedSource

log = structlog.get_logger()

AT_ONCE = {MINUTE: DAY, HOUR: 30 * DAY}
"""By the length of candles, how much time one request to a source is about, in seconds: what a kill may lose."""
WAITS = (2.0, 5.0, 15.0, 60.0)
"""Seconds before each further try of what a source failed to give."""
LONGEST_WAIT = 900.0
"""Seconds that are waited where a source asks for it. Who has to wait longer comes back later."""


class RecordingOrder(NamedTuple):
    """What is to be recorded."""

    metrics: Sequence[Metric]
    span: TimeSpan
    length: int
    """Of a candle, in seconds: a minute, or an hour."""


class PairResult(NamedTuple):
    """What came of one metric."""

    metric: Metric
    candles: int
    of: int
    """As many as there would be if there had been trade all the time."""


async def record_candles(
    source: SupervisedSource,
    order: RecordingOrder,
    folder: Path,
    seen: ProgressCallback,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> list[PairResult]:
    """
    Download what the folder does not have yet, and return what came of each metric.

    Broken off, it keeps what it has, and goes on from there the next time. Raises `SourceError` where the source does
    not give something after several tries, `InvalidRecording` and `OSError` for what is in the folder.
    """
    pairs = [RecordedPair(folder, metric, order.length) for metric in order.metrics]
    with _hold_folder(folder):
        for pair in pairs:
            pair.open()
        longest = AT_ONCE[order.length]
        missing = {pair: pair.list_missing(order.span, longest) for pair in pairs}
        of = len(pairs) * _count_requests(order.span, longest)
        done = max(0, of - sum(map(len, missing.values())))
        seen(done, of)
        results = []
        for pair, spans in missing.items():
            for span in spans:
                pair.write_part(span, await _fetch(source, pair.metric, span, order.length, sleep))
                done += 1
                seen(done, of)
                await sleep(source.source.pace)
            await asyncio.to_thread(pair.join)
            results.append(_count(pair, order))
    return results


def _count_requests(span: TimeSpan, longest: int) -> int:
    return -(-span.end // longest) - span.start // longest


def _count(pair: RecordedPair, order: RecordingOrder) -> PairResult:
    candles = pair.count_candles(order.span)
    if not candles and not pair.count_candles(TimeSpan(0, order.span.end)):
        pair.remove_empty()
    return PairResult(pair.metric, candles, (order.span.end - order.span.start) // order.length)


async def _fetch(
    source: SupervisedSource,
    metric: Metric,
    span: TimeSpan,
    length: int,
    sleep: Callable[[float], Awaitable[None]],
) -> Sequence[Candle]:
    """Return the candles of a stretch, after some tries if need be."""
    for wait in WAITS:
        try:
            return await _fetch_once(source, metric, span, length)
        except RequestRefused:
            raise
        except SourceError as error:
            asked = error.wait or 0.0 if isinstance(error, SourceRefused) else 0.0
            if asked > LONGEST_WAIT:
                raise
            pause = max(asked, wait)
            log.warning("candles are asked for again", reason=str(error), wait=f"{pause:g} s")
            await sleep(pause)
    return await _fetch_once(source, metric, span, length)


async def _fetch_once(source: SupervisedSource, metric: Metric, span: TimeSpan, length: int) -> Sequence[Candle]:
    if length == MINUTE or not isinstance(source.source, Hourly):
        return await source.fetch_candles(metric, span.start, span.end)
    _, candles = await source.fetch_hours(metric, span.start, span.end)
    return candles


@contextmanager
def _hold_folder(folder: Path) -> Iterator[None]:
    """Make a folder, and keep every other process from recording into it. Raises `InvalidRecording` where one does."""
    folder.mkdir(parents=True, exist_ok=True)
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise InvalidRecording(f"{folder}: another process records into it; wait for its end") from error
    finally:
        os.close(held)
