"""Takes the lease of a Redis, waits for it, and renews it: one worker feeds, a second stands by."""

import asyncio
from collections.abc import Callable

from worker.latest.store import LEASE_SECONDS, DataMoved, Lease, NoAccess, StoreError
from worker.reporting.outage_log import OutageLog

RENEWALS = 3
"""How often the lease is renewed in its time: two renewals may fail before another worker takes over."""
WAIT_SECONDS = 1.0
"""Between two tries to take the lease at the start."""

IsGone = Callable[[str], bool]
"""Returns whether a holder is known to have ended."""


class LeaseTaken(Exception):
    """Another worker feeds this Redis; the message names it."""


async def take_lease(lease: Lease, name: str, is_gone: IsGone) -> None:
    """Take the lease, also from a holder that is gone. Raises `LeaseTaken` or `StoreError`."""
    holder = await lease.take_or_keep(name)
    if holder is None:
        return
    if not is_gone(holder):
        raise LeaseTaken(f"{holder} feeds this Redis, and only one worker does at a time: stop it first")
    if not await lease.take_over(name, holder):
        raise LeaseTaken(f"another worker took over from {holder}, which is gone")


async def wait_for_lease(lease: Lease, name: str, is_gone: IsGone) -> None:
    """
    Take the lease once Redis answers and nobody else has it: so a second worker stands by for the first.

    Raises `NoAccess` where Redis does not accept the password, and `DataMoved`: waiting mends neither.
    """
    outage = OutageLog()
    while True:
        try:
            return await take_lease(lease, name, is_gone)
        except (NoAccess, DataMoved):
            raise
        except (LeaseTaken, StoreError) as error:
            outage.log_failure("standing by", str(error))
        await asyncio.sleep(WAIT_SECONDS)


async def hold_lease(lease: Lease, name: str) -> None:
    """Renew the lease, for ever. Raises `LeaseTaken` when another worker has it."""
    while True:
        await asyncio.sleep(min(lease.seconds, LEASE_SECONDS) / RENEWALS)
        try:
            holder = await lease.take_or_keep(name)
        except DataMoved:
            raise
        except StoreError:
            continue  # the next commit reports it
        if holder is not None:
            raise LeaseTaken(f"{holder} feeds this Redis now, and only one worker does at a time")
