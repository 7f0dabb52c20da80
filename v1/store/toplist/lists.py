"""The lists that the two providers of the top list give, as streams: from who asks for them to who merges them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from ...toplist import codec
from ...toplist.model import PricedCoin, ProviderList, RankedCoin
from .. import keys
from ..binary import execute_binary
from ..connection import translate_errors, translate_unreadable

MOST_BLOCKED = 5.0
"""Seconds that one question may wait for news; the connection's own patience is longer."""
_REFUSED = "equal or smaller"
"""What Redis says of an entry whose minute has one, or which comes too late."""


class ListStore:
    """
    Adds lists and gives them back. Each method raises `StoreAway` when Redis does not answer.

    An entry is named by its minute, of which so there is one: the first that came.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._read: dict[str, tuple[bytes, ProviderList[Any]]] = {}
        """By stream, the entry that was read last."""

    async def add_prices(self, listing: ProviderList[PricedCoin]) -> bool:
        """Add a list of prices, and return whether it was new and newer than all others."""
        return await self._put(keys.PRICES, listing, codec.write_prices(listing.coins, listing.about.at))

    async def add_ranks(self, listing: ProviderList[RankedCoin]) -> bool:
        """Add a list of ranks, likewise."""
        return await self._put(keys.RANKINGS, listing, codec.write_ranks(listing.coins))

    async def read_prices(self, until: int) -> ProviderList[PricedCoin] | None:
        """Return the newest prices that were asked for at minute `until` or before."""
        found: ProviderList[PricedCoin] | None = await self._newest(keys.PRICES, until, codec.read_prices)
        return found

    async def read_ranks(self, until: int) -> ProviderList[RankedCoin] | None:
        """Return the newest ranks, likewise."""
        found: ProviderList[RankedCoin] | None = await self._newest(keys.RANKINGS, until, codec.read_ranks)
        return found

    async def find_oldest_minute(self) -> int | None:
        """Return the oldest minute that has both prices and ranks at it or before."""
        firsts = [
            await execute_binary(self._redis, "XRANGE", key, "-", "+", "COUNT", 1)
            for key in (keys.PRICES, keys.RANKINGS)
        ]
        return max(_read_minute(entries[0][0]) for entries in firsts) if all(firsts) else None

    async def wait_for_news(self, prices_at: int, ranks_at: int, seconds: float) -> tuple[int, int]:
        """
        Wait until there are newer prices or newer ranks than of these minutes, and `seconds` at most.

        Returns the minutes that the next ones are of; where none came, those that were given.
        """
        milliseconds = max(1, int(min(seconds, MOST_BLOCKED) * 1000))
        newest = (f"{prices_at * 1000}-0", f"{ranks_at * 1000}-0")
        streams = ("STREAMS", keys.PRICES, keys.RANKINGS, *newest)
        found = await execute_binary(self._redis, "XREAD", "COUNT", 1, "BLOCK", milliseconds, *streams) or {}
        next_ones = {key.decode(): _read_minute(_read_name(entries)) for key, entries in dict(found).items()}
        return next_ones.get(keys.PRICES, prices_at), next_ones.get(keys.RANKINGS, ranks_at)

    async def _put(self, key: str, listing: ProviderList[Any], coins: bytes) -> bool:
        fields = ("about", codec.write_about(listing.about), "coins", coins)
        pipe = self._redis.pipeline(transaction=True)
        pipe.execute_command("XADD", key, "MAXLEN", keys.MOST_LISTS, f"{listing.about.at * 1000}-0", *fields)
        pipe.execute_command("EXPIRE", key, keys.KEEP)
        with translate_errors():
            added, _ = await pipe.execute(raise_on_error=False)
            if isinstance(added, ResponseError) and _REFUSED in str(added):
                return False
            if isinstance(added, Exception):
                raise added
        return True

    async def _newest(self, key: str, until: int, read: Callable[[bytes, int], Sequence[Any]]) -> Any:
        found = await execute_binary(self._redis, "XREVRANGE", key, until * 1000, "-", "COUNT", 1)
        if not found:
            return None
        (entry, fields), *_ = found
        # Minute after minute the same list is asked for.
        if self._read.get(key, (None, None))[0] != entry:
            with translate_unreadable(key):
                written = _read_fields(fields)
                about = codec.read_about(written[b"about"])
                self._read[key] = (entry, ProviderList(about, read(written[b"coins"], about.at)))
        return self._read[key][1]


def _read_name(entries: Any) -> bytes:
    """Return the name of the first entry; how deep it lies depends on the protocol."""
    while not isinstance(entries, bytes):
        entries = entries[0]
    return entries


def _read_minute(entry: bytes) -> int:
    return int(entry.partition(b"-")[0]) // 1000


def _read_fields(found: Any) -> dict[bytes, bytes]:
    """Return the fields of an entry, which come as a map or as one list."""
    return dict(found) if isinstance(found, Mapping) else dict(zip(found[::2], found[1::2], strict=True))
