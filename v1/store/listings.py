"""The lists that the two providers of the top list give, as streams: from who asks for them to who merges them."""

from collections.abc import Mapping
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from .. import keys, snapshots
from ..toplist import Listing, PricedCoin, RankedCoin
from .connection import translated
from .raw import raw

MOST_BLOCKED = 5.0
"""Seconds that one question may wait for news; the connection's own patience is longer."""
_REFUSED = "equal or smaller"
"""What Redis says of an entry whose minute has one, or which comes too late."""


class Listings:
    """
    Adds lists and gives them back. Each method raises `StoreAway` when Redis does not answer.

    An entry is named by its minute, of which so there is one: the first that came.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def put_prices(self, listing: Listing[PricedCoin]) -> bool:
        """Add a list of prices, and tell whether it was new and newer than all others."""
        return await self._put(keys.PRICES, listing, snapshots.write_prices(listing.coins, listing.about.at))

    async def put_ranks(self, listing: Listing[RankedCoin]) -> bool:
        """Add a list of ranks, likewise."""
        return await self._put(keys.RANKINGS, listing, snapshots.write_ranks(listing.coins))

    async def prices(self, until: int) -> Listing[PricedCoin] | None:
        """Give the newest prices that were asked for at minute `until` or before."""
        found = await self._entry(keys.PRICES, until)
        if found is None:
            return None
        about = snapshots.read_about(found[b"about"])
        return Listing(about, snapshots.read_prices(found[b"coins"], about.at))

    async def ranks(self, until: int) -> Listing[RankedCoin] | None:
        """Give the newest ranks, likewise."""
        found = await self._entry(keys.RANKINGS, until)
        if found is None:
            return None
        return Listing(snapshots.read_about(found[b"about"]), snapshots.read_ranks(found[b"coins"]))

    async def oldest(self) -> int | None:
        """Give the oldest minute that has both prices and ranks at it or before."""
        firsts = [await raw(self._redis, "XRANGE", key, "-", "+", "COUNT", 1) for key in (keys.PRICES, keys.RANKINGS)]
        return max(_minute(entries[0][0]) for entries in firsts) if all(firsts) else None

    async def news(self, prices_at: int, ranks_at: int, seconds: float) -> None:
        """Wait until there are newer prices or newer ranks than of these minutes, and `seconds` at most."""
        milliseconds = max(1, int(min(seconds, MOST_BLOCKED) * 1000))
        newest = (f"{prices_at * 1000}-0", f"{ranks_at * 1000}-0")
        streams = ("STREAMS", keys.PRICES, keys.RANKINGS, *newest)
        await raw(self._redis, "XREAD", "COUNT", 1, "BLOCK", milliseconds, *streams)

    async def _put(self, key: str, listing: Listing[Any], coins: bytes) -> bool:
        fields = ("about", snapshots.write_about(listing.about), "coins", coins)
        pipe = self._redis.pipeline(transaction=True)
        pipe.execute_command("XADD", key, "MAXLEN", keys.MOST_LISTS, f"{listing.about.at * 1000}-0", *fields)
        pipe.execute_command("EXPIRE", key, keys.KEEP)
        with translated():
            added, _ = await pipe.execute(raise_on_error=False)
            if isinstance(added, ResponseError) and _REFUSED in str(added):
                return False
            if isinstance(added, Exception):
                raise added
        return True

    async def _entry(self, key: str, until: int) -> Mapping[bytes, bytes] | None:
        found = await raw(self._redis, "XREVRANGE", key, until * 1000, "-", "COUNT", 1)
        return _fields(found[0][1]) if found else None


def _minute(entry: bytes) -> int:
    return int(entry.partition(b"-")[0]) // 1000


def _fields(found: Any) -> dict[bytes, bytes]:
    """Give the fields of an entry, which come as a map or as one list."""
    return dict(found) if isinstance(found, Mapping) else dict(zip(found[::2], found[1::2], strict=True))
