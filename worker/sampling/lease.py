"""The right to feed a Redis: one worker has it, a second stands by. Taking, keeping, waiting; no feeding."""

import asyncio
from collections.abc import Callable

from worker.latest import LEASE_SECONDS, NoAccess, StoreError, Writer
from worker.reporting.outage_log import OutageLog

RENEWALS = 3
"""How often the lease is renewed while it lasts: two renewals may fail before another worker takes over."""
WAIT_SECONDS = 1.0
"""Between two tries of a start that Redis, or another worker, holds up."""

IsGone = Callable[[str], bool]
"""Tells of a holder whether it is known to be dead."""


class LeaseTaken(Exception):
    """Another worker feeds this Redis; the message names it."""


async def take_lease(store: Writer, who: str, is_gone: IsGone) -> None:
    """Take the lease, also from a holder that is gone. Raises `Busy` or `StoreError`."""
    holder = await store.take_or_keep_lease(who)
    if holder is None:
        return
    if not is_gone(holder):
        raise LeaseTaken(f"{holder} feeds this Redis, and only one worker does at a time: stop it first")
    if not await store.take_over_lease(who, holder):
        raise LeaseTaken(f"another worker took over from {holder}, which is gone")


async def wait_for_lease(store: Writer, who: str, is_gone: IsGone) -> None:
    """
    Take the lease once Redis answers and nobody else has it: a second worker so stands by for the first.

    Raises `NoAccess` where Redis does not let us in: whoever starts a worker with a wrong password is told.
    """
    outage = OutageLog()
    while True:
        try:
            return await take_lease(store, who, is_gone)
        except NoAccess:
            raise
        except (LeaseTaken, StoreError) as error:
            outage.log_failure("standing by", str(error))
        await asyncio.sleep(WAIT_SECONDS)


async def hold_lease(store: Writer, who: str) -> None:
    """Keep the lease, for ever. Raises `Busy` when another worker has it."""
    while True:
        await asyncio.sleep(LEASE_SECONDS / RENEWALS)
        try:
            holder = await store.take_or_keep_lease(who)
        except StoreError:
            continue  # whoever commits tells it
        if holder is not None:
            raise LeaseTaken(f"{holder} feeds this Redis now, and only one worker does at a time")
