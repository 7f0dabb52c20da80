"""Calls an address, to say that we are alive. When, is not known here."""

from aiohttp import ClientSession

from worker.delivery.notify.base import NotSent, translate_errors

_GOOD = range(200, 300)


async def call_address(session: ClientSession, address: str) -> str | None:
    """Call it once; return why that failed, if it did. The address is not shown: it may be a secret."""
    try:
        with translate_errors("the heartbeat's address"):
            async with session.get(address) as response:
                return None if response.status in _GOOD else f"it said {response.status}"
    except NotSent as error:
        return str(error)
