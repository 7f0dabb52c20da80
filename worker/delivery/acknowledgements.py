"""Asks a provider which of its urgent messages somebody has acknowledged, and stops those that are elsewhere, or over."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import structlog

from worker.delivery.notify.base import AcknowledgingNotifier, NotifyRefused, NotSent
from worker.latest import Receipt, ReceiptStore, StoreError
from worker.reporting.redis_retry import RedisRetry, Sleep

log = structlog.get_logger()

EVERY_SECONDS = 5.0
"""Between two questions, whatever they are about: Pushover asks for no more."""
GRACE_SECONDS = 60.0
"""After a receipt's end it is asked about once more, for clocks differ."""


class AcknowledgementPoller:
    """
    One channel's. A message that is acknowledged to us is not repeated any more, and the other way round; nor is one
    whose alerts are all over, or told again by a later message.
    """

    def __init__(
        self,
        notifier: AcknowledgingNotifier,
        receipts: ReceiptStore,
        clock: Callable[[], float] = time.time,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._notifier = notifier
        self._receipts = receipts
        self._clock = clock
        self._sleep = sleep
        self._patience = RedisRetry(notifier.name, sleep)
        self._asked: dict[str, float] = {}
        """When each receipt was asked about last."""

    async def run(self) -> None:
        """Ask, for ever."""
        while True:
            try:
                await self.poll_next()
            except StoreError as error:
                await self._patience.wait(error)
            await self._sleep(EVERY_SECONDS)

    async def poll_next(self) -> None:
        """
        Cancel what nobody need acknowledge any more, and ask about the receipt that was not asked about for longest.

        Raises `StoreError`.
        """
        receipts = await self._receipts.read_open()
        self._asked = {receipt.id: self._asked.get(receipt.id, 0.0) for receipt in receipts}
        settled = await self._receipts.settled(self._by_turns(receipts)) if receipts else []
        for receipt in settled:
            if not await self._is_answered(receipt, self._cancel):
                return
        for receipt in [each for each in self._by_turns(receipts) if each not in settled][:1]:
            await self._is_answered(receipt, self._ask)

    def _by_turns(self, receipts: Sequence[Receipt]) -> list[Receipt]:
        return sorted(receipts, key=lambda receipt: self._asked[receipt.id])

    async def _is_answered(self, receipt: Receipt, ask: Callable[[Receipt], Awaitable[None]]) -> bool:
        """Ask the provider, and return whether it answered; where it did not, it is asked again until the receipt's end."""
        self._asked[receipt.id] = self._clock()
        try:
            await ask(receipt)
        except NotifyRefused as error:
            log.warning("a receipt is refused", channel=self._notifier.name, answer=str(error))
            await self._receipts.close(receipt)
        except NotSent as error:
            log.debug("no answer about a receipt", channel=self._notifier.name, reason=str(error))
            if self._clock() > receipt.until + GRACE_SECONDS:
                await self._receipts.close(receipt)
            return False
        return True

    async def _cancel(self, receipt: Receipt) -> None:
        await self._notifier.cancel_receipt(receipt.id)
        await self._receipts.close(receipt)
        log.info("an urgent message is not repeated any more", channel=self._notifier.name, alerts=receipt.alerts)

    async def _ask(self, receipt: Receipt) -> None:
        said = await self._notifier.read_acknowledgement(receipt.id)
        if said.at is not None:
            by = f"{self._notifier.name}: {said.by}" if said.by else self._notifier.name
            await self._receipts.acknowledge(receipt, said.at, by)
        elif said.is_over or self._clock() > receipt.until + GRACE_SECONDS:
            await self._receipts.close(receipt)
