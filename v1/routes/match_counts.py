"""Counts the metrics that a pattern matches; fast for patterns whose only wildcard is a `*` at the end."""

from bisect import bisect_left
from collections.abc import Sequence
from fnmatch import translate
from functools import cache
from re import compile as compiled
from re import split


class MetricNames:
    """The names of all metrics."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = sorted(names)
        self.matches = cache(self._matches)

    def _matches(self, pattern: str) -> int:
        head, *rest = split("([*?].*)", pattern, maxsplit=1)
        start = bisect_left(self._names, head)
        if not rest:
            return int(self._names[start : start + 1] == [head])
        if rest[0] == "*":
            return bisect_left(self._names, f"{head}\U0010ffff") - start
        match = compiled(translate(pattern)).match
        return sum(match(name) is not None for name in self._names)
