"""The partitions that a worker has, each by a lease of its own, which is the fence of all that is committed in it."""

from redis.asyncio import Redis

from .. import keys
from ..fence import NO_FENCE, Fence
from ..lease import Lease
from .share_leases import ShareLeases


class PartitionLeases(ShareLeases, Lease):
    """
    The leases of partitions, by their tags, as one worker has them. Raises `StoreAway` as every read does.

    What lies home is changed without a lease, by calls that can be repeated.
    """

    def __init__(self, redis: Redis, name: str, seconds: int) -> None:
        Lease.__init__(self, redis)
        ShareLeases.__init__(self, redis, name, seconds, keys.feeder)
        self.parts: tuple[str, ...] = ()
        """The partitions that were last looked at as a whole: what is had may change at any moment."""

    @property
    def fence(self) -> Fence:
        """Return what changes of what lies home are checked against: nothing."""
        return NO_FENCE

    def find_partition_fence(self, tag: str) -> Fence:
        """Return what changes in a partition are checked against; where it is not ours, it never holds."""
        return Fence(keys.feeder(tag), self.find_token(tag), 0, keys.partition_tick(tag))

    def list_parts(self) -> tuple[str, ...]:
        return self.parts

    def check_holder(self, holder: str | None) -> None:
        """Return: who has the lease of all is not who commits partitions."""

    def check_unbroken(self, fence: Fence) -> None:
        """Return: each partition's fence has a token of its own, which the store checks."""

    async def take_again(self) -> None:
        """Return: `renew` takes what ran out."""
