"""Polls a provider for who acknowledged its urgent messages, and cancels those that are acknowledged elsewhere, or over."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import structlog

from worker.delivery.notify.base import AcknowledgingNotifier, NotifyRefused, NotSent
from worker.latest.delivery import Receipt, ReceiptStore
from worker.latest.store import StoreError
from worker.reporting.redis_retry import RedisRetry, Sleep

log = structlog.get_logger()

EVERY_SECONDS = 5.0
"""Between two requests: Pushover asks for no more."""
GRACE_SECONDS = 60.0
"""How long after its end a receipt is still polled, for clocks differ."""


class AcknowledgementPoller:
    """
    Polls one channel's receipts. An acknowledgement at the provider is recorded; a message whose alerts are all over,
    or acknowledged here, is cancelled at the provider.
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
        self._retry = RedisRetry(notifier.name, sleep)
        self._polled: dict[str, float] = {}
        """When each receipt was polled last."""

    async def run(self) -> None:
        """Poll, forever."""
        while True:
            try:
                await self.poll_next()
            except StoreError as error:
                await self._retry.wait(error)
            await self._sleep(EVERY_SECONDS)

    async def poll_next(self) -> None:
        """
        Cancel what nobody need acknowledge any more, and poll the receipt that was not polled for longest.

        Raises `StoreError`.
        """
        receipts = await self._receipts.read_open()
        self._polled = {receipt.id: self._polled.get(receipt.id, 0.0) for receipt in receipts}
        settled = await self._receipts.filter_settled(self._sort_by_poll(receipts)) if receipts else []
        for receipt in settled:
            if not await self._ask(receipt, self._cancel):
                return
        for receipt in [each for each in self._sort_by_poll(receipts) if each not in settled][:1]:
            await self._ask(receipt, self._poll)

    def _sort_by_poll(self, receipts: Sequence[Receipt]) -> list[Receipt]:
        return sorted(receipts, key=lambda receipt: self._polled[receipt.id])

    async def _ask(self, receipt: Receipt, request: Callable[[Receipt], Awaitable[None]]) -> bool:
        """Make a request about a receipt; return whether the provider answered. If not, it is repeated until the receipt's end."""
        self._polled[receipt.id] = self._clock()
        try:
            await request(receipt)
        except NotifyRefused as error:
            log.warning("receipt refused", channel=self._notifier.name, answer=str(error))
            await self._receipts.close(receipt)
        except NotSent as error:
            log.debug("no answer about a receipt, retrying", channel=self._notifier.name, reason=str(error))
            if self._clock() > receipt.until + GRACE_SECONDS:
                await self._receipts.close(receipt)
            return False
        return True

    async def _cancel(self, receipt: Receipt) -> None:
        await self._notifier.cancel_receipt(receipt.id)
        await self._receipts.close(receipt)
        log.info("urgent message cancelled", channel=self._notifier.name, alerts=receipt.alerts)

    async def _poll(self, receipt: Receipt) -> None:
        state = await self._notifier.read_acknowledgement(receipt.id)
        if state.at is not None:
            by = f"{self._notifier.name}: {state.by}" if state.by else self._notifier.name
            await self._receipts.acknowledge(receipt, state.at, by)
        elif state.is_over or self._clock() > receipt.until + GRACE_SECONDS:
            await self._receipts.close(receipt)
