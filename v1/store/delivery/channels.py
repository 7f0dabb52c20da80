"""Records which channels are configured, and trims from the outbox what all of them have settled."""

from collections.abc import Mapping
from typing import Any

from redis.asyncio import Redis

from .. import keys
from ..changes import ChangeKind, put_change
from ..connection import translate_errors
from .outbox import Outbox
from .receipts import ReceiptStore


class ChannelStore:
    """The channels of one Redis. `keep` is how long traces of messages are kept, in seconds."""

    def __init__(self, redis: Redis, keep: int) -> None:
        self._redis = redis
        self._keep = keep

    def open_outbox(self, channel: str) -> Outbox:
        return Outbox(self._redis, channel, self._keep)

    def open_receipts(self, channel: str) -> ReceiptStore:
        return ReceiptStore(self._redis, channel, self._keep)

    async def set_channels(self, channels: Mapping[str, str]) -> list[str]:
        """Record the configured channels, each with its kind; return those that are not configured any more."""
        pipe = self._redis.pipeline(transaction=True)
        pipe.execute_command("DEL", keys.CHANNELS)
        for name, kind in channels.items():
            pipe.execute_command("HSET", keys.CHANNELS, name, kind)
        put_change(pipe, ChangeKind.RULES)  # of a rule it is shown which of its channels there are
        with translate_errors():
            await pipe.execute()
        return sorted(group["name"] for group in await self._read_groups() if group["name"] not in channels)

    async def drop_channel(self, channel: str) -> None:
        """Delete what is kept of a channel that is not configured any more."""
        pipe = self._redis.pipeline(transaction=True)
        pipe.execute_command("XGROUP", "DESTROY", keys.OUTBOX, channel)
        pipe.execute_command("DEL", keys.sending(channel), keys.receipts(channel))
        with translate_errors():
            await pipe.execute()

    async def trim_outbox(self) -> None:
        """Remove from the outbox what every channel has settled."""
        needed = [await self._find_oldest_needed(group) for group in await self._read_groups()]
        if needed:
            with translate_errors():
                await self._redis.xtrim(keys.OUTBOX, minid=_write_id(min(needed)), approximate=False)

    async def _find_oldest_needed(self, group: Mapping[str, Any]) -> tuple[int, int]:
        if group["pending"]:
            with translate_errors():
                pending: Any = await self._redis.xpending_range(keys.OUTBOX, group["name"], "-", "+", 1)
            if pending:
                return _split_id(pending[0]["message_id"])
        milliseconds, sequence = _split_id(group["last-delivered-id"])
        return milliseconds, sequence + 1

    async def _read_groups(self) -> list[dict[str, Any]]:
        with translate_errors():
            if not await self._redis.exists(keys.OUTBOX):
                return []
            return await self._redis.xinfo_groups(keys.OUTBOX)


def _split_id(entry: str) -> tuple[int, int]:
    milliseconds, _, sequence = entry.partition("-")
    return int(milliseconds), int(sequence or 0)


def _write_id(parts: tuple[int, int]) -> str:
    return f"{parts[0]}-{parts[1]}"
