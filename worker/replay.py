"""Plays a recording through the tick, as fast as it goes, and leaves what a live run would have left."""

from collections.abc import Iterator, Mapping

import structlog

from worker import candles
from worker.latest import Heard, Metric, Writer
from worker.progress import Seen
from worker.recording import Recording
from worker.tick import tick

log = structlog.get_logger()

SOURCE = "replay"


class TooLate(Exception):
    """The store is past the recording already; the message says what to do."""


async def replay(recording: Recording, store: Writer, interval: int, seen: Seen) -> int:
    """
    Commit every tick of the recording that the store does not have yet, and give how many.

    Cut off anywhere and started again with the same recording, it goes on where it was. Raises
    `TooLate` when the store's newest tick lies past the recording's end.
    """
    newest = await store.open()
    last = -(-recording.last // interval) * interval  # the last candles may not fill their interval
    if newest is not None and newest > last:
        raise TooLate(
            f"the store has ticks until {newest} and the recording ends at {last}: "
            "play it into another TRACKER_DATA_DIR, or with a later --until"
        )
    of = (last - recording.first) // interval + 1
    committed = 0
    for number, (at, heard) in enumerate(_heard(recording, interval), 1):
        if newest is None or at > newest:
            await tick(at, heard, store)
            committed += 1
        seen(number, of)
    return committed


def _heard(recording: Recording, interval: int) -> Iterator[tuple[int, Mapping[Metric, Heard]]]:
    for at, readings in candles.market(recording.ticks(), interval):
        yield at, {metric: Heard(reading, SOURCE) for metric, reading in readings.items()}
