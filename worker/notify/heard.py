"""Calls an address, to say that we are alive. When, is not known here."""

from aiohttp import ClientSession

from worker.notify.base import NotSent, told_apart

_GOOD = range(200, 300)


async def call(session: ClientSession, address: str) -> str | None:
    """Call it once; give why that failed, if it did. The address is not shown: it may be a secret."""
    try:
        with told_apart("the heartbeat's address"):
            async with session.get(address) as response:
                return None if response.status in _GOOD else f"it said {response.status}"
    except NotSent as error:
        return str(error)
