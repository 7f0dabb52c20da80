"""Takes the lease of a Redis, waits for it, and renews it: one worker feeds, a second stands by."""

import asyncio
from collections.abc import Callable

import structlog

from worker.latest.store import LEASE_SECONDS, DataMoved, Lease, NoAccess, StoreError
from worker.reporting.outage_log import OutageLog

log = structlog.get_logger()

RENEWALS = 3
"""How often the lease is renewed in its time: two renewals may fail before another worker takes over."""
WAIT_SECONDS = 1.0
"""Between two tries to take the lease at the start."""

SHARES = "this worker shares the market; another asks the sources, and this one takes over when that is lost"

IsGone = Callable[[str], bool]
"""Returns whether a holder is known to have ended."""


class LeaseTaken(Exception):
    """Another worker feeds this Redis; the message names it."""

    def __init__(self, message: str, holder: str = "") -> None:
        super().__init__(message)
        self.holder = holder


async def take_lease(lease: Lease, name: str, is_gone: IsGone) -> None:
    """Take the lease, also from a holder that is gone. Raises `LeaseTaken` or `StoreError`."""
    holder = await lease.take_or_keep(name)
    if holder is None:
        return
    if not is_gone(holder):
        raise LeaseTaken(f"{holder} feeds this Redis, and only one worker does at a time: stop it first", holder)
    if not await lease.take_over(name, holder):
        raise LeaseTaken(f"another worker took over from {holder}, which is gone", holder)


async def wait_for_lease(lease: Lease, name: str, is_gone: IsGone, *, shares: bool = False) -> None:
    """
    Take the lease once Redis answers and nobody else has it: so a second worker stands by for the first.

    One that `shares` the market has work meanwhile, and says so. Raises `NoAccess` where Redis does not accept the
    password, and `DataMoved`: waiting mends neither.
    """
    outage, asking = OutageLog(), ""
    while True:
        try:
            try:
                return await take_lease(lease, name, is_gone)
            except LeaseTaken as taken:
                is_beside = shares and not await lease.has_all_partitions(taken.holder)
                if not is_beside:
                    outage.log_failure("standing by", _describe_holder(lease, taken.holder, shares=shares))
                elif asking != taken.holder:
                    log.info(SHARES, asking=taken.holder)
                    asking = taken.holder
        except (NoAccess, DataMoved):
            raise
        except StoreError as error:
            outage.log_failure("standing by", str(error))
        await asyncio.sleep(WAIT_SECONDS)


def _describe_holder(lease: Lease, holder: str, *, shares: bool) -> str:
    if shares:
        return f"{holder} feeds this cluster alone: start it with TRACKER_SHARE=yes, too; this worker takes over when it ends"
    if lease.list_parts():
        hint = "; with TRACKER_SHARE=yes for both they share its metrics"
        return f"{holder} feeds this cluster, and this worker takes over when it ends{hint}"
    return f"{holder} feeds this Redis, and this worker takes over when it ends"


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
