"""Which hours late samples were put into, of which metrics, until those hours are revised in the archive."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from worker.latest import Metric, find_hour


class LateHours:
    """Filled by the store's writer, emptied by the rollup."""

    def __init__(self) -> None:
        self._metrics: dict[int, set[Metric]] = {}

    def __len__(self) -> int:
        """Return how many hours are to be revised, those of each metric counted."""
        return sum(map(len, self._metrics.values()))

    def add(self, metric: Metric, ticks: Iterable[int]) -> None:
        """Note that late samples of a metric were put in at `ticks`."""
        for tick in ticks:
            self._metrics.setdefault(find_hour(tick), set()).add(metric)

    def list_hours(self) -> list[int]:
        """Return the hours' starts, oldest first."""
        return sorted(self._metrics)

    @contextmanager
    def take(self, hour: int) -> Iterator[set[Metric]]:
        """Remove an hour and yield its metrics; they are put back where the block raises."""
        metrics = self._metrics.pop(hour, set())
        try:
            yield metrics
        except BaseException:
            self._metrics.setdefault(hour, set()).update(metrics)
            raise
