"""
Which node has which slot, as the nodes say themselves, and a client of each node.

The table is read when it is first needed, and again after anything that shows that it may be out of date: a slot that
has moved or is on its way, a node that does not answer. Whoever was affected tries again; that is the caller's, as it
is when one server is away.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from time import monotonic
from typing import Any, NamedTuple, cast

from redis.asyncio import Redis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as NoAnswer

from ..pool import ReplacingPool, read_error_code

OUT_OF_DATE = frozenset({"MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN", "READONLY", "MASTERDOWN", "LOADING"})
"""Codes of answers after which the table is read again."""


def is_astray(answer: object) -> bool:
    """Return whether an answer is an error that another node than the one that was asked might not give."""
    return isinstance(answer, NoConnection | NoAnswer | OSError) or (
        isinstance(answer, ResponseError) and read_error_code(answer) in OUT_OF_DATE
    )


class Endpoint(NamedTuple):
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Shard(NamedTuple):
    """A primary, and what copies it."""

    primary: Endpoint
    replicas: tuple[Endpoint, ...]


MakePool = Callable[[Endpoint], ReplacingPool]
NEXT_NODE_SECONDS = 0.25
"""After how long without an answer another node is asked for the slots, too."""
LOOK_SECONDS = 1.0
"""Between two looks at the cluster while an answer is waited for."""


class SlotTable:
    """Finds the node of a slot. Each method raises `NoConnection` where no node answers; `close` closes all clients."""

    def __init__(self, seeds: Sequence[Endpoint], make_pool: MakePool) -> None:
        self._seeds = seeds
        self._make_pool = make_pool
        self._clients: dict[Endpoint, Redis] = {}
        self._shards: list[Shard | None] = []
        """The shard of each slot; empty before the first reading."""
        self.version = 0
        """Goes up whenever a slot has another primary than before."""
        self._owners: Sequence[tuple[int, int, Endpoint]] = ()
        """The first and the last slot of each span, and their primary."""
        self._is_current = False
        self._told_by: Endpoint | None = None
        """Which node has told what is in the table."""
        self._reading: asyncio.Task[None] | None = None
        self._look_at = 0.0
        """When the table may be read next without anything that shows that it is out of date, by `monotonic`."""

    @property
    def seeds(self) -> Sequence[Endpoint]:
        """The nodes that the address of the cluster names."""
        return self._seeds

    @property
    def missing(self) -> int:
        """How many slots no node has."""
        return sum(shard is None for shard in self._shards) if self._shards else REDIS_CLUSTER_HASH_SLOTS

    def mark_out_of_date(self) -> None:
        """Have the table read again before it is used next."""
        self._is_current = False

    def note(self, answer: object) -> None:
        """Note what an error says of the table."""
        if is_astray(answer):
            self.mark_out_of_date()

    def watch_answers(self) -> "AnswerWatch":
        """Return what is entered while answers are waited for: the wait ends where the node is replaced meanwhile."""
        return AnswerWatch(self._look)

    async def ensure(self) -> None:
        """Read the table where that is needed; many who need it at once wait for one reading."""
        if self._is_current:
            return
        if self._reading is None:
            self._reading = asyncio.create_task(self._read())
        await asyncio.shield(self._reading)

    def find_shard(self, slot: int) -> Shard:
        """Return the nodes that have a slot, as of the last reading."""
        shard = self._shards[slot] if self._shards else None
        if shard is None:
            self.mark_out_of_date()
            raise NoConnection(f"no node of the cluster has slot {slot}")
        return shard

    def find_client(self, slot: int) -> Redis:
        """Return the client of the primary that has a slot."""
        return self.get_client(self.find_shard(slot).primary)

    def list_shards(self) -> list[Shard]:
        """Return each shard once, in the order of its first slot."""
        return [*dict.fromkeys(shard for shard in self._shards if shard is not None)]

    def get_client(self, address: Endpoint) -> Redis:
        """Return the client of a node, made when it is first asked for."""
        client = self._clients.get(address)
        if client is None:
            client = self._clients[address] = Redis.from_pool(self._make_pool(address))
        return client

    async def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        clients, self._clients = [*self._clients.values()], {}
        for client in clients:
            await client.aclose()

    async def _read(self) -> None:
        try:
            spans = await self._ask_any()
            self._shards = make_table(spans)
            owners = [(first, last, shard.primary) for first, last, shard in spans]
            if owners != self._owners:
                self._owners, self.version = owners, self.version + 1
            self._is_current = True
            self._look_at = monotonic() + LOOK_SECONDS / 2
            await self._close_gone()
            await self._end_waits()
        finally:
            self._reading = None

    async def _ask_any(self) -> "list[ShardSpan]":
        """
        Return the spans of slots as the first node gives them that answers: those known best first, seeds last.

        One that says nothing for a moment is not waited for alone: the next is asked beside it. What the last one has
        said has turned out wrong, or else nobody would ask again: it may be cut off from the others, and is asked last.
        """
        errors: dict[Endpoint, str] = {}
        left, asked = self._list_asked(), dict[asyncio.Task[list[ShardSpan]], Endpoint]()
        try:
            while left or asked:
                if left:
                    address = left.pop(0)
                    asked[asyncio.create_task(self._ask_spans(address))] = address
                seconds = NEXT_NODE_SECONDS if left else None
                done, _ = await asyncio.wait(asked, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    address, error = asked.pop(task), task.exception()
                    if error is None:
                        self._told_by = address
                        return task.result()
                    if not isinstance(error, RedisError | OSError):
                        raise error
                    errors[address] = str(error)
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        told = "; ".join(f"{address}: {error}" for address, error in errors.items())
        raise NoConnection(f"no node of the cluster answers ({told})")

    async def _ask_spans(self, address: Endpoint) -> "list[ShardSpan]":
        """Return the spans of slots as a node knows them."""
        answer = await self.get_client(address).execute_command("CLUSTER SLOTS")  # type: ignore[no-untyped-call]
        return [_make_span(address, each) for each in normalize(answer)]

    def _list_asked(self) -> list[Endpoint]:
        """Return the nodes in the order in which they are asked."""
        return sorted(self._list_known(), key=lambda address: address == self._told_by)

    def _list_known(self) -> Iterable[Endpoint]:
        shards = self.list_shards()
        known = [shard.primary for shard in shards] + [each for shard in shards for each in shard.replicas]
        return dict.fromkeys((*known, *self._seeds))

    def _look(self) -> None:
        """Have the table read anew, also where nothing has shown that it is out of date: a node that stands still shows nothing."""
        if self._reading is None and monotonic() >= self._look_at:
            # The table is used as it is meanwhile: nobody else waits for a node that stands still.
            self._reading = asyncio.create_task(self._read())
            # Where no node answers, whoever waits is told so by the node that it asked.
            self._reading.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def _end_waits(self) -> None:
        """
        Close the connections on which an answer of a node is waited for that is no node of the cluster any more.

        A primary that stands still is not left out before its replica has taken its place; the answer would never come.
        """
        listed = {each for shard in self.list_shards() for each in (shard.primary, *shard.replicas)}
        for address, client in [*self._clients.items()]:
            if address not in listed:
                await cast("ReplacingPool", client.connection_pool).end_waits()

    async def _close_gone(self) -> None:
        """Close the clients of nodes that have left the cluster."""
        known = {*self._list_known()}
        for address in [each for each in self._clients if each not in known]:
            await self._clients.pop(address).aclose()


class AnswerWatch:
    """Looks at the cluster once and again while it is entered: no sooner than most answers are there."""

    __slots__ = ("_look", "_timer")

    def __init__(self, look: Callable[[], None]) -> None:
        self._look = look
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look_again)

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _look_again(self) -> None:
        self._look()
        self.__enter__()


Span = tuple[int, int, Sequence[tuple[str, int]]]
"""The first and the last slot, and the nodes that have them: the primary, then its replicas."""


ShardSpan = tuple[int, int, Shard]
"""The same, read."""


def normalize(answer: Any) -> list[Span]:
    """Return the answer to CLUSTER SLOTS in one form: redis-py makes a mapping of it where it was not asked otherwise."""
    if isinstance(answer, Mapping):
        return [
            (first, last, [about["primary"][:2], *(each[:2] for each in about["replicas"])])
            for (first, last), about in answer.items()
        ]
    return [(first, last, [(node[0], node[1]) for node in nodes]) for first, last, *nodes in answer]


def make_table(spans: Iterable[ShardSpan]) -> list[Shard | None]:
    """Return the shard of each slot."""
    table: list[Shard | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
    for first, last, shard in spans:
        table[first : last + 1] = [shard] * (last + 1 - first)
    return table


def _make_span(asked: Endpoint, span: Span) -> ShardSpan:
    """Return who has some slots; a node that does not know its own name is the one that was asked."""
    first, last, nodes = span
    primary, *replicas = [Endpoint(_decode(host) or asked.host, int(port)) for host, port in nodes]
    return first, last, Shard(primary, tuple(replicas))


def _decode(host: object) -> str:
    return host.decode() if isinstance(host, bytes) else str(host or "")
