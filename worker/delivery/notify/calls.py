"""Requests the heartbeat's address, which a monitor watches, or only sees whether its host answers."""

from aiohttp import ClientSession
from yarl import URL

from worker.delivery.notify.base import NotSent, translate_errors

_SUCCESS = range(200, 300)


async def call_address(session: ClientSession, address: str) -> str | None:
    """Request an address once; return the error, or `None`. The address is not shown: it may be a secret."""
    try:
        with translate_errors("the heartbeat's address"):
            async with session.get(address) as response:
                return None if response.status in _SUCCESS else f"it said {response.status}"
    except NotSent as error:
        return str(error)


async def reach_host(session: ClientSession, address: str) -> str | None:
    """
    Request the root of an address's host; return why it does not answer, or `None`.

    The address itself would tell the monitor that all is well.
    """
    try:
        with translate_errors("the heartbeat's host"):
            async with session.head(URL(address).origin(), allow_redirects=False):
                return None
    except NotSent as error:
        return str(error)
