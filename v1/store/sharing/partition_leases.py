"""The partitions that a worker has, each by a lease of its own, which is the fence of all that is committed in it."""

from collections.abc import Collection, Iterable
from typing import NamedTuple

from redis.asyncio import Redis

from .. import keys
from ..connection import translate_errors
from ..fence import NO_FENCE, Fence
from ..lease import Lease
from ..scripts import GIVE_BACK_SHARE, TAKE_SHARE


class LeaseChanges(NamedTuple):
    """What became of the leases when they were renewed."""

    gained: frozenset[str]
    lost: frozenset[str]


class PartitionLeases(Lease):
    """
    The leases of partitions as one worker has them. Raises `StoreAway` as every read does.

    One that ran out and is taken anew has another token: in between, somebody else may have had it, and what was read
    under the one before must not be written. What lies home is changed without a lease, by calls that can be repeated.
    """

    def __init__(self, redis: Redis, name: str, seconds: int) -> None:
        super().__init__(redis)
        self._name = name
        self.seconds = seconds
        self._tokens: dict[str, str] = {}
        self.parts: tuple[str, ...] = ()
        """The partitions that were last looked at as a whole: what is had may change at any moment."""

    @property
    def held(self) -> frozenset[str]:
        """Return the tags of the partitions that were had when it was last looked."""
        return frozenset(self._tokens)

    @property
    def fence(self) -> Fence:
        """Return what changes of what lies home are checked against: nothing."""
        return NO_FENCE

    def find_partition_fence(self, tag: str) -> Fence:
        """Return what changes in a partition are checked against; where it is not ours, it never holds."""
        token = self._tokens.get(tag, f"{self._name}:none")
        return Fence(keys.feeder(tag), token, 0, keys.partition_tick(tag))

    async def renew(self, wished: Iterable[str]) -> LeaseChanges:
        """Keep what is had, and take of what is `wished` what nobody has."""
        before = dict(self._tokens)
        tags = sorted({*before, *wished})
        pipe = self._redis.pipeline(transaction=False)
        fresh = {}
        for tag in tags:
            self._takings += 1
            fresh[tag] = f"{self._name}:{self._takings}"
            words = (before.get(tag, ""), fresh[tag], self.seconds)
            pipe.execute_command("EVAL", TAKE_SHARE.text, 1, keys.feeder(tag), *words)
        with translate_errors():
            holders = await pipe.execute() if tags else []
        ours = {
            tag: holder for tag, holder in zip(tags, holders, strict=True) if holder in (before.get(tag), fresh[tag])
        }
        # What was taken anew counts as lost and gained: what is remembered of it may be old.
        kept = {tag for tag, token in ours.items() if before.get(tag) == token}
        self._tokens = ours
        return LeaseChanges(frozenset(ours.keys() - kept), frozenset(before.keys() - kept))

    async def release_partitions(self, tags: Collection[str]) -> None:
        """Release partitions, at once for us, and as soon as the store hears of it for others."""
        tokens = {tag: token for tag in tags if (token := self._tokens.get(tag)) is not None}
        # Another thread may be reading it: it is replaced, and never changed.
        self._tokens = {tag: token for tag, token in self._tokens.items() if tag not in tokens}
        pipe = self._redis.pipeline(transaction=False)
        for tag, token in tokens.items():
            pipe.execute_command("EVAL", GIVE_BACK_SHARE.text, 1, keys.feeder(tag), token)
        with translate_errors():
            if tokens:
                await pipe.execute()

    def list_parts(self) -> tuple[str, ...]:
        return self.parts

    def check_holder(self, holder: str | None) -> None:
        """Return: who has the lease of all is not who commits partitions."""

    def check_unbroken(self, fence: Fence) -> None:
        """Return: each partition's fence has a token of its own, which the store checks."""

    async def take_again(self) -> None:
        """Return: `renew` takes what ran out."""
