"""Divides what is sent to a cluster by nodes, and puts the answers together again. Knows no connection."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from redis.exceptions import ClusterCrossSlotError

from ..places import HOME_SLOT, Places
from .key_positions import ONE_KEY, find_keys

Command = tuple[Any, ...]

_LISTS, _SUMS = frozenset({"MGET"}), frozenset({"DEL", "UNLINK", "EXISTS", "TOUCH"})
"""Commands of many keys that are divided: what they answer is a list of one answer a key, or a number to add up."""
_NAMES_STREAMS = frozenset({"XREAD", "XREADGROUP"})


class NodeCommand(NamedTuple):
    """What one node is sent of a command."""

    slot: int
    command: Command
    answers: Sequence[int] = ()
    """Of a command that was divided: to which of its keys each answer belongs."""


class CommandRoute(NamedTuple):
    """Where a command goes."""

    parts: Sequence[NodeCommand]
    merge: Callable[[Sequence[Any]], Any] | None = None
    """Makes one answer of those of the parts; `None`: there is one, and it is the answer."""


def find_route(command: Command, places: Places) -> CommandRoute:
    """
    Return where a command goes; its keys are named as on one node. One without a key goes to the node of `{home}`.

    Raises `DataError` of a command that is not known, and `ClusterCrossSlotError` of one whose keys are apart.
    """
    positions = find_keys(command)
    if not positions:
        return CommandRoute([NodeCommand(HOME_SLOT, command)])
    placed_keys, slots = zip(*[places.find_place(str(command[at])) for at in positions], strict=True)
    if len({*slots}) == 1:
        whole = (*command[: positions.start], *placed_keys, *command[positions.stop :])
        return CommandRoute([NodeCommand(slots[0], whole)], _find_restorer(command, places))
    return _divide(command, placed_keys, slots)


def _divide(command: Command, placed: Sequence[str], slots: Sequence[int]) -> CommandRoute:
    name = str(command[0]).upper()
    if name not in _LISTS | _SUMS:
        raise ClusterCrossSlotError(f"the keys of {name} are not in one slot: {' '.join(map(str, placed))}")
    by_slot: dict[int, list[int]] = {}
    for index, slot in enumerate(slots):
        by_slot.setdefault(slot, []).append(index)
    parts = [NodeCommand(slot, (command[0], *[placed[at] for at in each]), each) for slot, each in by_slot.items()]
    return CommandRoute(parts, sum if name in _SUMS else _make_list_merge(parts))


def _make_list_merge(parts: Sequence[NodeCommand]) -> Callable[[Sequence[Any]], Any]:
    def merge(answers: Sequence[Any]) -> list[Any]:
        merged: list[Any] = [None] * sum(len(part.answers) for part in parts)
        for part, answer in zip(parts, answers, strict=True):
            for at, each in zip(part.answers, answer, strict=True):
                merged[at] = each
        return merged

    return merge


def _find_restorer(command: Command, places: Places) -> Callable[[Sequence[Any]], Any] | None:
    if str(command[0]).upper() not in _NAMES_STREAMS:
        return None

    def restore_name(stream: str | bytes) -> str | bytes:
        return places.restore(stream.decode()).encode() if isinstance(stream, bytes) else places.restore(stream)

    def restore(answers: Sequence[Any]) -> Any:
        (answer,) = answers
        if isinstance(answer, dict):
            return {restore_name(stream): entries for stream, entries in answer.items()}
        return [[restore_name(stream), entries] for stream, entries in answer] if answer else answer

    return restore


class Batch(NamedTuple):
    """What one node is sent of many commands, in their order."""

    commands: list[Command]
    origins: list[tuple[int, int]]
    """Of which command each is a part, and which part."""


class BatchPlan:
    """How many commands are divided by nodes, each MULTI up to its EXEC as one, and how the answers come together."""

    def __init__(self, commands: Iterable[Command], places: Places, find_node: Callable[[int], Any]) -> None:
        self.batches: dict[Any, Batch] = {}
        """What each node is sent, by what `find_node` returns of a slot."""
        self._count = 0
        self._routes: dict[int, CommandRoute] = {}
        """Where those commands go whose answer is made of parts, or is to be changed."""
        self._positions: dict[int, list[list[int]]] = {}
        """Of each MGET: to which of its keys the answers to each part belong."""
        self._places = places
        self._find_node = find_node
        self._by_slot: dict[int, Batch] = {}
        block: list[Command] = []
        for command in commands:
            if block or command[0] == "MULTI":
                block.append(command)
                if command[0] == "EXEC":
                    self._add_block(block)
                    block = []
            else:
                self._add(command)

    def merge(self, answers: Callable[[Any], Sequence[Any]]) -> list[Any]:
        """Return the answer to each command; `answers` returns those of a node. An error in a part is the answer."""
        merged: list[Any] = [None] * self._count
        parts: dict[int, list[Any]] = {index: [None] * len(each.parts) for index, each in self._routes.items()}
        parts |= {index: [None] * len(each) for index, each in self._positions.items()}
        for node, batch in self.batches.items():
            for (index, part), answer in zip(batch.origins, answers(node), strict=True):
                if index in parts:
                    parts[index][part] = answer
                else:
                    merged[index] = answer
        for index, found in parts.items():
            positions = self._positions.get(index)
            merged[index] = _merge(self._routes[index], found) if positions is None else _merge_values(positions, found)
        return merged

    def _add(self, command: Command) -> None:
        if command[0] in ONE_KEY:
            # Most are of this kind, and many: no route is made of each.
            placed, slot = self._places.find_place(str(command[1]))
            self._put(slot, (command[0], placed, *command[2:]))
            self._count += 1
        elif command[0] == "MGET" and len(command) > 1:
            self._add_values(command)
        else:
            self._add_route(find_route(command, self._places))

    def _add_values(self, command: Command) -> None:
        """Add an MGET, as one of each slot: with some fifty keys there are nearly as many parts, and no route is made of each."""
        find_place = self._places.find_place
        parts: dict[int, tuple[list[str], list[int]]] = {}
        for position, key in enumerate(command[1:]):
            placed, slot = find_place(str(key))
            part = parts.get(slot)
            if part is None:
                parts[slot] = ["MGET", placed], [position]
            else:
                part[0].append(placed)
                part[1].append(position)
        for number, (slot, (words, _)) in enumerate(parts.items()):
            self._put(slot, tuple(words), number)
        self._positions[self._count] = [positions for _, positions in parts.values()]
        self._count += 1

    def _add_block(self, block: Sequence[Command]) -> None:
        """Add a transaction, which goes to one slot: commands without a key go where the others do."""
        routes = [find_route(command, self._places) for command in block]
        keyed = {each.parts[0].slot for command, each in zip(block, routes, strict=True) if find_keys(command)}
        if len(keyed) > 1 or any(len(each.parts) > 1 for each in routes):
            raise ClusterCrossSlotError(f"the keys of a transaction are not in one slot: {block[1:-1]}"[:500])
        slot = next(iter(keyed), HOME_SLOT)
        for each in routes:
            self._add_route(each._replace(parts=[each.parts[0]._replace(slot=slot)]))

    def _add_route(self, added: CommandRoute) -> None:
        if added.merge is not None:
            self._routes[self._count] = added
        for number, part in enumerate(added.parts):
            self._put(part.slot, part.command, number)
        self._count += 1

    def _put(self, slot: int, command: Command, part: int = 0) -> None:
        batch = self._by_slot.get(slot)
        if batch is None:
            batch = self._by_slot[slot] = self.batches.setdefault(self._find_node(slot), Batch([], []))
        batch.commands.append(command)
        batch.origins.append((self._count, part))


def _merge_values(positions: Sequence[Sequence[int]], answers: Sequence[Any]) -> Any:
    """Return the values of all keys in their order, or the first error."""
    merged: list[Any] = [None] * sum(map(len, positions))
    for each, answer in zip(positions, answers, strict=True):
        if isinstance(answer, Exception):
            return answer
        for position, value in zip(each, answer, strict=True):
            merged[position] = value
    return merged


def _merge(whole: CommandRoute, answers: Sequence[Any]) -> Any:
    errors = [each for each in answers if isinstance(each, Exception)]
    if errors:
        return errors[0]
    return answers[0] if whole.merge is None else whole.merge(answers)
