"""What `start.sh` says of how all does while it runs: what fails, how far the day is filled, and that all is well again."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from worker.reporting.terminal import print_line

LOOK_SECONDS = 2.0
FILL_STEPS = 4
"""How often a fill is told on its way."""

Health = Mapping[str, Any]


class HealthWatch:
    """Says every change once. What an answer of `/health/ready` says in numbers that grow is no change."""

    def __init__(self, tell: Callable[[str], None] = print_line) -> None:
        self._tell = tell
        self._told: set[str] = set()
        self._step: int | None = None

    async def run(self, ask: Callable[[], Awaitable[Health | None]]) -> None:
        """Look and tell, for ever."""
        while True:
            if health := await ask():
                self.look(health)
            await asyncio.sleep(LOOK_SECONDS)

    def look(self, health: Health) -> None:
        """Tell what is new since the last look."""
        reasons: Sequence[str] = health["reasons"]
        kinds = {_kind(reason): reason for reason in reasons}
        for kind, reason in kinds.items():
            if kind not in self._told:
                self._tell(f"{health['status']}: {reason}")
        if self._told and not kinds:
            self._tell("ready: nothing fails any more")
        self._told = set(kinds)
        self._look_at_fill(compute_percent(health))

    def keep(self, health: Health) -> None:
        """Take in what was told already."""
        self._told = {_kind(reason) for reason in health["reasons"]}

    def _look_at_fill(self, done: int | None) -> None:
        step = None if done is None else done * FILL_STEPS // 100
        if step != self._step:
            if done is None:
                self._tell("the past day is filled, as far as the sources know it")
            elif step:
                self._tell(f"filling the past day: {done} %")
        self._step = step


def compute_percent(health: Health | None) -> int | None:
    """Return how much of the past day is filled; `None` where nothing is being filled."""
    sources = health["sources"].values() if health else ()
    fills = [source["filling"] for source in sources if source["filling"]]
    if not fills:
        return None
    return int(100 * sum(fill["done"] for fill in fills) // max(1, sum(fill["of"] for fill in fills)))


def _kind(reason: str) -> str:
    """Return a reason without its numbers: what is 181 s old and then 183 s old is the same."""
    return re.sub(r"[0-9]+", "#", reason)
