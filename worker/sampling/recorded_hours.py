"""The whole hours of a recording, as its own candles tell them: open, high, low, close and volume of every trade."""

from collections.abc import Iterable, Iterator, Mapping

from worker.latest import HOUR, MINUTE, Candle, Metric, candles
from worker.latest.market import ExchangeHour
from worker.sampling.recording import Recording

SOURCE = "replay"


class RecordedHours:
    """
    Collects the candles of a recording while they are played, and makes hours of them.

    A minute without a trade may be absent, so an hour is whole when it lies in the recording and has a candle.
    """

    def __init__(self, recording: Recording) -> None:
        self._first = recording.first - MINUTE
        """The first second that the recording speaks of."""
        self._last = recording.last
        self._open: dict[int, dict[Metric, list[Candle]]] = {}
        """The candles of each hour that was not taken yet."""

    def follow(
        self, ticks: Iterable[tuple[int, Mapping[Metric, Candle]]]
    ) -> Iterator[tuple[int, Mapping[Metric, Candle]]]:
        """Yield the ticks of the recording as they are, and note their candles."""
        for tick, some in ticks:
            hour = (tick - 1) // HOUR * HOUR
            for metric, candle in some.items():
                self._open.setdefault(hour, {}).setdefault(metric, []).append(candle)
            yield tick, some

    def take_until(self, end: int, at: int) -> list[ExchangeHour]:
        """Return the hours that were over at `end` and were not taken yet; `at` is the time that is recorded for them."""
        over = sorted(hour for hour in self._open if hour + HOUR <= min(end, self._last))
        return [
            candles.make_exchange_hour(candles.HourSlot(metric, hour, at), some, SOURCE)
            for hour in over
            for metric, some in self._open.pop(hour).items()
            if hour >= self._first
        ]
