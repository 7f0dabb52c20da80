"""What a worker has of what several share, each by a lease of its own: partitions, or sources."""

from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from redis.asyncio import Redis

from ..connection import translate_errors
from ..scripts import GIVE_BACK_SHARE, TAKE_SHARE


class LeaseChanges(NamedTuple):
    """What became of the leases when they were renewed."""

    gained: frozenset[str]
    lost: frozenset[str]


class ShareLeases:
    """
    The leases of one kind as one worker has them. Raises `StoreAway` as every read does.

    One that ran out and is taken anew has another token: in between, somebody else may have had it, and what was read
    under the one before must not be written.
    """

    def __init__(self, redis: Redis, name: str, seconds: int, name_key: Callable[[str], str]) -> None:
        self._redis = redis
        self._name = name
        self._name_key = name_key
        """Returns the key of the lease of a share."""
        self._takings = 0
        self._tokens: dict[str, str] = {}
        self.seconds = seconds
        self.busy: frozenset[str] = frozenset()
        """What is in the middle of something: it is kept until that is over, whoever is to have it."""

    @property
    def held(self) -> frozenset[str]:
        """Return what was had when it was last looked."""
        return frozenset(self._tokens)

    def find_token(self, share: str) -> str:
        """Return the token under which a share is had; of one that is not ours, one that nobody has."""
        return self._tokens.get(share, f"{self._name}:none")

    async def keep_wished(self, wished: Iterable[str]) -> LeaseChanges:
        """Keep and take what is wished for, and give back the rest."""
        kept = {*wished} | (self.held & self.busy)
        await self.give_back(self.held - kept)
        return await self.renew(kept)

    async def renew(self, wished: Iterable[str]) -> LeaseChanges:
        """Keep what is had, and take of what is `wished` what nobody has."""
        before = dict(self._tokens)
        shares = sorted({*before, *wished})
        pipe = self._redis.pipeline(transaction=False)
        fresh = {}
        for share in shares:
            self._takings += 1
            fresh[share] = f"{self._name}:{self._takings}"
            words = (before.get(share, ""), fresh[share], self.seconds)
            pipe.execute_command("EVAL", TAKE_SHARE.text, 1, self._name_key(share), *words)
        with translate_errors():
            holders = await pipe.execute() if shares else []
        ours = {
            share: holder
            for share, holder in zip(shares, holders, strict=True)
            if holder in (before.get(share), fresh[share])
        }
        # What was taken anew counts as lost and gained: what is remembered of it may be old.
        kept = {share for share, token in ours.items() if before.get(share) == token}
        self._tokens = ours
        return LeaseChanges(frozenset(ours.keys() - kept), frozenset(before.keys() - kept))

    async def give_back(self, shares: Collection[str]) -> None:
        """Release shares, at once for us, and as soon as the store hears of it for others."""
        tokens = {share: token for share in shares if (token := self._tokens.get(share)) is not None}
        # Another thread may be reading it: it is replaced, and never changed.
        self._tokens = {share: token for share, token in self._tokens.items() if share not in tokens}
        pipe = self._redis.pipeline(transaction=False)
        for share, token in tokens.items():
            pipe.execute_command("EVAL", GIVE_BACK_SHARE.text, 1, self._name_key(share), token)
        with translate_errors():
            if tokens:
                await pipe.execute()
