"""
How many points a question is about, as its address says: what the limit of points counts, before anything is read.

    a series        its range by its step, 10,000 at most, for each metric and each measure
    a list          its `limit`, or the metrics that it names
    a rank history  100
    a backtest      as many samples as one may play
    anything else   1

A pattern of metrics, `KRAKEN:*`, stands for 100. A question that is not accepted is about 1 point.
"""

from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl

from pydantic_core import PydanticCustomError

from ...model import DAY, HOUR, MINUTE
from ..params import parse_step, parse_time

MOST_OF_SERIES = 10_000
USUAL_CANDLES = 200
USUAL_LIMIT = 100
OF_PATTERN = 100
OF_BACKTEST = 150_000
OF_RANK_HISTORY = 100
MOST_FIELDS = 50

_LISTS = ("alerts", "metrics", "ranks", "rules", "silences", "snapshot", "top")
_LENGTHS = {"w": 7 * DAY, "d": DAY, "h": HOUR, "m": MINUTE}

Query = Mapping[str, str]


class CostTable:
    """What questions cost."""

    def __init__(self, interval: int, clock: Callable[[], float], most: int = MOST_OF_SERIES * MOST_OF_SERIES) -> None:
        """`interval` is that of the samples, in seconds; `clock` says unix seconds; nothing costs more than `most`."""
        self._most = most
        self._interval = interval
        self._clock = clock

    def count_points(self, path: str, query: bytes) -> int:
        """Return how many points a request is about; `path` is without the one of a proxy."""
        return min(self._most, self._count(path, query, int(self._clock())))

    def _count(self, path: str, written: bytes, now: int) -> int:
        subject = path.rpartition("/")[2].partition(".")[0]
        try:
            query = dict(parse_qsl(written.decode("latin-1"), max_num_fields=MOST_FIELDS))
            if subject == "history":
                step = parse_step(query["step"]) if "step" in query else self._interval
                return _count_range(query, now, step, DAY // step) * _count_series(query)
            if subject == "candles":
                length = _parse_length(query.get("interval", "1h"))
                return _count_range(query, now, length, USUAL_CANDLES) * _count_series(query)
            if subject == "rank-history":
                return OF_RANK_HISTORY
            if subject in _LISTS:
                usual = _count_series(query) if "metrics" in query else USUAL_LIMIT
                return min(MOST_OF_SERIES, max(1, int(query.get("limit", usual))))
        except (PydanticCustomError, ValueError, KeyError):
            return 1
        return OF_BACKTEST if subject == "backtest" else 1


def _count_range(query: Query, now: int, step: int, usual: int) -> int:
    """Return how many points lie between the ends that a question gives; `usual` without a beginning."""
    end = parse_time(query["to"]).resolve(now) if "to" in query else now
    points = (end - parse_time(query["from"]).resolve(now)) // step if "from" in query else usual
    return min(MOST_OF_SERIES, max(1, points))


def _count_series(query: Query) -> int:
    names, measures = query.get("metrics", "-").split(","), query.get("measures", "-").split(",")
    return sum(OF_PATTERN if "*" in name else 1 for name in names) * len(measures)


def _parse_length(text: str) -> int:
    """Return the seconds of `4h`. Raises `KeyError` and `ValueError`."""
    return int(text[:-1]) * _LENGTHS[text[-1:]]
