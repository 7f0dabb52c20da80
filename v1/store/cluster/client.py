"""A client of a Redis Cluster: used as `redis.asyncio.Redis` is, with keys named as on one node."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, cast

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline, PubSub
from redis.client import NEVER_DECODE
from redis.exceptions import DataError, RedisError, ResponseError

from .. import keys
from ..places import HOME_SLOT, Places
from ..pool import ReplacingPool, WatchedConnection
from .key_positions import ONE_KEY, is_read
from .replicas import ReplicaChoice
from .routing import BatchPlan, Command, CommandRoute, find_route
from .slot_table import SlotTable, is_astray

FindNode = Callable[[int], Redis]
"""Returns the client of the node that is asked for a slot."""

_KEYS = "keys"
"""An option that redis-py puts beside a command for a cache of its own."""
_EMPTIES = frozenset({"FLUSHALL", "FLUSHDB"})
_OF_ALL = _EMPTIES | {"SCRIPT LOAD", "SCRIPT FLUSH"}
"""Commands that every primary is sent."""


class OtherCount(DataError):
    """The data is divided into another number of partitions than is said; the message names both."""


class ClusterRedis(Redis):
    """
    Sends each command to the node that has its keys, and each pipeline to all nodes that have some, side by side.

    What a single server would answer by `MOVED` and the like, here is an error after which the table of slots is read
    again: whoever asked asks again, as when a server is away.
    """

    def __init__(self, table: SlotTable, pool: ReplacingPool, places: Places, *, is_count_given: bool = False) -> None:
        super().__init__(connection_pool=pool)
        self.table = table
        self.places = places
        """How the data is divided: as the data says, once that was read; before there is any, as it will be."""
        self.replicas: ReplicaChoice | None = None
        """Chooses from which replica is read; `None`: from none."""
        self._is_count_given = is_count_given
        self._are_places_noted = False

    async def ensure_places(self) -> None:
        """
        Know which node has what: read the table of slots where that is needed, and how the data is divided.

        Raises `OtherCount` where the settings say another number of partitions than the data has.
        """
        await self.table.ensure()
        if self._are_places_noted:
            return
        try:
            noted = cast("str | None", await self._find_client(HOME_SLOT).get(self.places.place(keys.PARTITIONS)))
        except (RedisError, OSError) as error:
            # Each command asks this first until it is answered: at a node that is not the one any more, for ever.
            self.table.note(error)
            raise
        if noted is None:
            return
        if self._is_count_given and int(noted) != self.places.partitions:
            raise OtherCount(
                f"the data is divided into {noted} partitions for good, and TRACKER_PARTITIONS says "
                f"{self.places.partitions}: set it to {noted}, or leave it out"
            )
        self.places, self._are_places_noted = Places(int(noted)), True

    async def note_places(self) -> None:
        """Write down how the data is divided, where it does not say so yet."""
        await self.set(keys.PARTITIONS, self.places.partitions, nx=True)
        await self.ensure_places()

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        await self.ensure_places()
        if self.replicas is None and args[0] in ONE_KEY:
            return await self._execute_by_key(args, options)
        if str(args[0]).upper() in _OF_ALL:
            return (await self._execute_everywhere(*args, **options))[0]
        whole = find_route(args, self.places)

        async def ask(find_node: FindNode) -> list[Any]:
            asked = [find_node(part.slot).execute_command(*part.command, **options) for part in whole.parts]  # type: ignore[no-untyped-call]
            return await _gather(*asked, table=self.table)

        return _merge_one(whole, await self.ask_nodes([args], ask))

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:  # noqa: ARG002  # redis-py's
        return ClusterPipeline(self, is_transaction=transaction)

    def pubsub(self, **options: Any) -> PubSub:
        """
        Return a subscription: what is published at any node is told at all.

        It is at the node of `{home}` once the table of slots was read, so that what is changed there is told before
        whoever changed it is answered; before that, at the node that was found first.
        """
        return self._find_client(HOME_SLOT).pubsub(**options) if self.table.list_shards() else super().pubsub(**options)

    async def plan(self, commands: Sequence[Command]) -> BatchPlan:
        """Return which of the commands goes to which primary."""
        await self.ensure_places()
        return BatchPlan(commands, self.places, self._find_client)

    async def ask_nodes(
        self, commands: Sequence[Command], ask: Callable[[FindNode], Awaitable[list[Any]]]
    ) -> list[Any]:
        """
        Return what `ask` does with a way to find the node of a slot: a replica where one may be read.

        Where a replica is away, or says that it is not the one to ask, primaries are asked.
        """
        if self.replicas is None or not all(map(is_read, commands)):
            return await ask(self._find_client)
        try:
            answers = await ask(self._find_reader)
            if not any(map(is_astray, answers)):
                return answers
        except (RedisError, OSError) as error:
            if not is_astray(error):
                raise
        self.replicas.note_change()
        await self.ensure_places()
        return await ask(self._find_client)

    async def send_all(self, commands: Sequence[Command]) -> list[Any]:
        """Return the answers to commands as they arrive, without what redis-py makes of some; errors are answers, too."""
        await self.ensure_places()

        async def ask(find_node: FindNode) -> list[Any]:
            plan = BatchPlan(commands, self.places, find_node)
            nodes = [*plan.batches]
            asked = [_ask_all(node, plan.batches[node].commands) for node in nodes]
            answers = await _gather(*asked, table=self.table)
            merged = plan.merge(dict(zip(nodes, answers, strict=True)).__getitem__)
            for each in merged:
                self.table.note(each)
            return merged

        return await self.ask_nodes(commands, ask)

    async def scan_iter(self, match: Any = None, count: int | None = None, **options: Any) -> AsyncIterator[str]:  # type: ignore[override]
        """Return the keys of all nodes, named as on one node."""
        for primary in await self.list_primaries():
            try:
                async for key in primary.scan_iter(count=count, **options):
                    named = self.places.restore(str(key))
                    if match is None or fnmatchcase(named, match):
                        yield named
            except (RedisError, OSError) as error:
                self.table.note(error)
                raise

    async def list_primaries(self) -> list[Redis]:
        """Return a client of each primary, which knows nothing of places."""
        await self.ensure_places()
        return [self.table.get_client(shard.primary) for shard in self.table.list_shards()]

    async def aclose(self, close_connection_pool: bool | None = None) -> None:  # redis-py's
        await self.table.close()
        await super().aclose(close_connection_pool)

    async def _execute_by_key(self, command: Command, options: Mapping[str, Any]) -> Any:
        """Return the answer to a command of one key from its primary: most are of this kind, and no route is made of each."""
        placed, slot = self.places.find_place(str(command[1]))
        try:
            with self.table.watch_answers():
                return await self._find_client(slot).execute_command(command[0], placed, *command[2:], **options)  # type: ignore[no-untyped-call]
        except (RedisError, OSError) as error:
            self.table.note(error)
            raise

    async def _execute_everywhere(self, *args: Any, **options: Any) -> list[Any]:
        """Return what each primary answers to a command."""
        if args[0] in _EMPTIES:
            self._are_places_noted = False
        primaries = await self.list_primaries()
        asked = [each.execute_command(*args, **options) for each in primaries]  # type: ignore[no-untyped-call]
        return await _gather(*asked, table=self.table)

    def _find_client(self, slot: int) -> Redis:
        return self.table.find_client(slot)

    def _find_reader(self, slot: int) -> Redis:
        """Return the client of a replica that may be read, or else of the primary."""
        shard = self.table.find_shard(slot)
        chosen = self.replicas.choose(shard) if self.replicas else None
        return self.table.get_client(chosen or shard.primary)


class ClusterPipeline(Pipeline):
    """
    Collects commands as a pipeline does, and sends each node its own. A transaction is of one slot.

    Commands between a `MULTI` and an `EXEC` that were put in by name stay together.
    """

    def __init__(self, client: ClusterRedis, *, is_transaction: bool) -> None:
        super().__init__(client.connection_pool, client.response_callbacks, is_transaction, None)
        self._client = client

    async def immediate_execute_command(self, *args: Any, **options: Any) -> Any:
        """Send a command now, to the node where all of a watched transaction goes."""
        await self._client.ensure_places()
        placed = self._move_to(find_route(args, self._client.places))
        try:
            with self._client.table.watch_answers():
                return await super().immediate_execute_command(*placed, **options)  # type: ignore[no-untyped-call]
        except (RedisError, OSError) as error:
            self._client.table.note(error)
            raise

    async def execute(self, raise_on_error: bool = True) -> list[Any]:  # redis-py's
        if not self.command_stack and not self.watching:
            return []
        if self.is_transaction or self.explicit_transaction:
            return await self._execute_in_one_slot(raise_on_error)
        stack = self.command_stack
        try:
            return await self._execute_divided(stack, raise_on_error)
        finally:
            await self.reset()  # type: ignore[no-untyped-call]

    async def _execute_in_one_slot(self, raise_on_error: bool) -> list[Any]:  # as it came
        # The table first: it may name another node for the slot than the last time.
        await self._client.ensure_places()
        commands = [args for args, _ in self.command_stack]
        plan = BatchPlan([("MULTI",), *commands, ("EXEC",)], self._client.places, lambda slot: slot)
        if plan.batches and self.connection is None:
            (slot,) = plan.batches
            self.connection_pool = self._client.table.find_client(slot).connection_pool
        placed = next(iter(plan.batches.values())).commands[1:-1] if plan.batches else []
        self.command_stack = [(each, options) for each, (_, options) in zip(placed, self.command_stack, strict=True)]
        try:
            with self._client.table.watch_answers():
                return await super().execute(raise_on_error)
        except (RedisError, OSError) as error:
            self._client.table.note(error)
            raise

    async def _execute_divided(self, stack: Sequence[Any], raise_on_error: bool) -> list[Any]:  # as it came
        client, commands = self._client, [args for args, _ in stack]
        await client.ensure_places()
        if any(NEVER_DECODE in options for _, options in stack):
            merged = await client.ask_nodes(commands, partial(self._ask_undecoded, stack))
        else:
            found = await client.ask_nodes(commands, partial(self._ask_all, commands))
            merged = [self._finish(answer, *each) for answer, each in zip(found, stack, strict=True)]
        for answer in merged:
            if isinstance(answer, ResponseError):
                client.table.note(answer)
        if raise_on_error:
            self.raise_first_error(cast("Any", stack), merged)
        return merged

    async def _ask_all(self, commands: Sequence[Command], find_node: FindNode) -> list[Any]:
        """Return the answers as they arrive, in a third of the time that a pipeline of redis-py takes for them."""
        plan = BatchPlan(commands, self._client.places, find_node)
        asked = [_ask_all(node, batch.commands) for node, batch in plan.batches.items()]
        answers = await _gather(*asked, table=self._client.table)
        return plan.merge(dict(zip(plan.batches, answers, strict=True)).__getitem__)

    def _finish(self, answer: Any, command: Command, options: Mapping[str, Any]) -> Any:
        """Return what redis-py makes of an answer."""
        callback = self.response_callbacks.get(command[0])
        if callback is None or isinstance(answer, Exception):
            return answer
        return callback(answer, **{name: value for name, value in options.items() if name != _KEYS})

    async def _ask_undecoded(self, stack: Sequence[Any], find_node: FindNode) -> list[Any]:
        """Return the answers of which some are to stay bytes, which is said of each command by itself."""
        plan = BatchPlan([args for args, _ in stack], self._client.places, find_node)
        pipes = {node: node.pipeline(transaction=False) for node in plan.batches}
        for node, pipe in pipes.items():
            batch = plan.batches[node]
            options = [stack[command][1] for command, _ in batch.origins]
            pipe.command_stack = [*zip(batch.commands, options, strict=True)]
        asked = [pipe.execute(raise_on_error=False) for pipe in pipes.values()]
        answers = await _gather(*asked, table=self._client.table)
        return plan.merge(dict(zip(pipes, answers, strict=True)).__getitem__)

    def _move_to(self, whole: CommandRoute) -> Command:
        (part,) = whole.parts
        if self.connection is None:
            self.connection_pool = self._client.table.find_client(part.slot).connection_pool
        return part.command


def _merge_one(whole: CommandRoute, answers: Sequence[Any]) -> Any:
    return answers[0] if whole.merge is None else whole.merge(answers)


async def _ask_all(node: Redis, commands: Sequence[Command]) -> list[Any]:
    pool = cast("ReplacingPool", node.connection_pool)
    connection: WatchedConnection = await pool.get_connection()  # type: ignore[no-untyped-call]  # redis-py's

    async def disconnect(_: Exception) -> None:
        await connection.disconnect(nowait=True)

    ask = partial(connection.ask_all, commands)
    try:
        # A client that only reads asks again over a new connection, any other does not.
        return cast("list[Any]", await connection.retry.call_with_retry(ask, disconnect))
    except BaseException:
        # Answers may still be on their way, and whoever asks next must not take them for its own.
        await connection.disconnect(nowait=True)
        raise
    finally:
        await pool.release(connection)


async def _gather(*asked: Any, table: SlotTable) -> list[Any]:
    """Return what all nodes answered, once all have; raise the first error then, after each was noted."""
    if len(asked) == 1:
        try:
            with table.watch_answers():
                return [await asked[0]]
        except (RedisError, OSError) as error:
            table.note(error)
            raise
    with table.watch_answers():
        answers = await asyncio.gather(*asked, return_exceptions=True)
    errors = [each for each in answers if isinstance(each, BaseException)]
    for each in errors:
        table.note(each)
    if errors:
        raise errors[0]
    return answers
