"""
Remembers what was sent to each part of a divided store lately, so that it can be sent again where a failover forgot it.

A replica that takes its primary's place may lack the newest writes, although they were acknowledged. What it has is all
that was written before some instant. The newest tick of a partition lies beside the partition's data and is written
last, so one that is older than what was committed says how far back that instant lies. No Redis here.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

Commands = Sequence[tuple[Any, ...]]

MOST_SECONDS = 600
"""Seconds of ticks that are remembered of a part, where no replica is known to have them."""
MOST_WORDS = 2_000_000
"""Arguments that are remembered in all: a tick of 10,000 metrics has some 60,000, of 100 bytes each."""


class _SentCommands(NamedTuple):
    tick: int
    commands: Commands
    words: int


class CommitLog:
    """What was sent to the parts of a store, by their tag, oldest first."""

    def __init__(self, most_seconds: int = MOST_SECONDS, most_words: int = MOST_WORDS) -> None:
        self._most_seconds = most_seconds
        self._most_words = most_words
        self._sent: dict[str, deque[_SentCommands]] = {}
        self._words = 0
        self._committed: dict[str, int] = {}
        """The newest tick of each part that was acknowledged."""
        self._reaches_back: dict[str, int] = {}
        """Of each part the newest tick of which something is not remembered any more."""

    def find_expected(self, tag: str) -> int | None:
        """Return the newest tick of a part that was acknowledged; `None` where none is known."""
        return self._committed.get(tag)

    def note_found(self, tag: str, tick: int | None) -> None:
        """Note the newest tick that a part has, of which nothing was known."""
        if tick is not None and tag not in self._committed:
            self._committed[tag] = self._reaches_back[tag] = tick

    def add(self, tag: str, tick: int, commands: Commands) -> None:
        """Remember what is about to be sent to a part."""
        sent = self._sent.setdefault(tag, deque())
        words = sum(map(len, commands))
        sent.append(_SentCommands(tick, commands, words))
        self._words += words
        while len(sent) > 1 and sent[0].tick <= tick - self._most_seconds:
            self._forget_oldest(tag)
        while self._words > self._most_words:
            oldest = min(
                (each for each in self._sent if len(self._sent[each]) > 1), key=self._find_oldest, default=None
            )
            if oldest is None:
                break
            self._forget_oldest(oldest)

    def note_committed(self, tag: str, tick: int) -> None:
        """Note that a tick of a part was acknowledged."""
        self._committed[tag] = max(tick, self._committed.get(tag, tick))

    def note_replicated(self, tag: str, tick: int) -> None:
        """Forget what a replica has: all up to a tick."""
        sent = self._sent.get(tag, ())
        while sent and sent[0].tick <= tick:
            self._forget_oldest(tag)

    def list_behind(self, found: Mapping[str, int | None]) -> list[str]:
        """Return the parts whose newest tick, as it was `found`, is older than what was acknowledged."""
        return [tag for tag, tick in found.items() if (-1 if tick is None else tick) < self._committed.get(tag, -1)]

    def find_forgotten(self, tag: str, tick: int | None) -> list[Commands] | None:
        """Return what was sent to a part after a tick, oldest first; `None` where not all of it is remembered."""
        since = -1 if tick is None else tick
        if since < self._reaches_back.get(tag, -1):
            return None
        return [each.commands for each in self._sent.get(tag, ()) if each.tick > since]

    def forget(self, tag: str, tick: int | None) -> None:
        """Forget a part: it goes on from the tick that it has."""
        while self._sent.get(tag):
            self._forget_oldest(tag)
        self._committed.pop(tag, None)
        self.note_found(tag, tick)

    def _find_oldest(self, tag: str) -> int:
        return self._sent[tag][0].tick

    def _forget_oldest(self, tag: str) -> None:
        gone = self._sent[tag].popleft()
        self._words -= gone.words
        self._reaches_back[tag] = max(gone.tick, self._reaches_back.get(tag, -1))
