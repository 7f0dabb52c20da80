"""
Collects script calls that change something only while the fence holds our token.

The fence is the key of the lease. Who has lost the lease, and does not know it yet, changes nothing any more: every
change of a feeder is such a call, and the script looks at the fence in the same instant in which it changes something.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from . import keys
from .event_log import CommandSink
from .scripts import RUN_TOGETHER, Script

_KEYS_OF = {"PUBLISH": 0, "RENAME": 2}
"""How many keys a command begins with, where that is not one."""


class Fence(NamedTuple):
    """What must hold for a change to be made: a key that holds our token, and a tick that is not forgotten."""

    key: str = keys.LEASE
    token: str = ""
    """The name under which the lease was taken; empty where it never was: then it is not checked."""
    taking: int = 0
    """How often the lease had been taken: of one that was taken anew since, somebody else may have had it meanwhile."""
    marker: str = keys.TICK
    """The key of the newest tick that is committed beside what is changed."""
    expected: int | None = None
    """A tick that was committed there: where it is forgotten, what follows from it must not be written."""


NO_FENCE = Fence()


class CommandGroup:
    """Takes commands that are to be run as one: each with its keys first."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.words: list[Any] = []

    def execute_command(self, *args: Any) -> None:
        """Take a command. One may have some thousand words, which are on the stack of the script together."""
        name, *words = args
        keys_of = _KEYS_OF.get(name, 1)
        self.names += words[:keys_of]
        self.words += (name, keys_of, len(words) - keys_of, *words[keys_of:])


class FencedCalls:
    """
    Collects calls of scripts, which the caller sends.

    The first call of each script brings its text, so that the server need not know it: it may have been started again,
    or another one may have taken its place.
    """

    def __init__(self, fence: Fence = NO_FENCE) -> None:
        self.fence = fence
        self.commands: list[tuple[Any, ...]] = []
        self._known: set[Script] = set()

    def put_call(self, script: Script, names: Sequence[str], words: Sequence[Any]) -> None:
        """Put the call of a script, with its keys and its other arguments."""
        head = ("EVALSHA", script.digest) if script in self._known else ("EVAL", script.text)
        self._known.add(script)
        fence = self.fence
        expected = "" if fence.expected is None else fence.expected
        self.commands.append((*head, len(names) + 2, fence.key, fence.marker, *names, fence.token, expected, *words))

    def execute_command(self, *args: Any) -> None:
        """Put a command by itself, with its keys first."""
        with self.put_together() as group:
            group.execute_command(*args)

    @contextmanager
    def put_together(self) -> Iterator[CommandSink]:
        """Return what takes commands; at the end they are put as one call, if there are any."""
        group = CommandGroup()
        yield group
        if group.words:
            self.put_call(RUN_TOGETHER, group.names, group.words)
