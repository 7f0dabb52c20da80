"""Asks a provider which of its urgent messages somebody has acknowledged, and stops those that are elsewhere."""

import asyncio
import time
from collections.abc import Callable

import structlog

from worker.latest import Receipt, Receipts, StoreError
from worker.notify.base import Acknowledging, NotSent, Refused
from worker.patience import Patience, Sleep

log = structlog.get_logger()

EVERY_SECONDS = 5.0
"""Between two questions, whatever they are about: Pushover asks for no more."""
GRACE_SECONDS = 60.0
"""After a receipt's end it is asked about once more, for clocks differ."""


class Acknowledgements:
    """One channel's. A message that is acknowledged to us is not repeated any more, and the other way round."""

    def __init__(
        self,
        notifier: Acknowledging,
        receipts: Receipts,
        clock: Callable[[], float] = time.time,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._notifier = notifier
        self._receipts = receipts
        self._clock = clock
        self._sleep = sleep
        self._patience = Patience(notifier.name, sleep)
        self._asked: dict[str, float] = {}
        """When each receipt was asked about last."""

    async def run(self) -> None:
        """Ask, for ever."""
        while True:
            try:
                await self.turn()
            except StoreError as error:
                await self._patience.wait(error)
            await self._sleep(EVERY_SECONDS)

    async def turn(self) -> None:
        """Ask about the receipt that was not asked about for longest, if there is one. Raises `StoreError`."""
        receipts = {receipt.id: receipt for receipt in await self._receipts.open()}
        self._asked = {known: self._asked.get(known, 0.0) for known in receipts}
        if not receipts:
            return
        receipt = receipts[min(self._asked, key=lambda known: self._asked[known])]
        self._asked[receipt.id] = self._clock()
        try:
            await self._ask(receipt)
        except Refused as error:
            log.warning("a receipt is refused", channel=self._notifier.name, answer=str(error))
            await self._receipts.close(receipt)
        except NotSent as error:
            log.debug("no answer about a receipt", channel=self._notifier.name, reason=str(error))
            if self._clock() > receipt.until + GRACE_SECONDS:
                await self._receipts.close(receipt)

    async def _ask(self, receipt: Receipt) -> None:
        if await self._receipts.is_acknowledged(receipt.alerts):
            await self._notifier.cancel(receipt.id)
            await self._receipts.close(receipt)
            return
        said = await self._notifier.acknowledgement(receipt.id)
        if said.at is not None:
            by = f"{self._notifier.name}: {said.by}" if said.by else self._notifier.name
            await self._receipts.acknowledge(receipt, said.at, by)
        elif said.is_over or self._clock() > receipt.until + GRACE_SECONDS:
            await self._receipts.close(receipt)
