"""All channels at once: each with tasks of its own, so that a slow one delays no other, and the outbox kept small."""

import asyncio
import time
from collections.abc import Callable, Sequence

import structlog

from worker.delivery.acknowledgements import AcknowledgementPoller
from worker.delivery.backoff import DEFAULT_BACKOFF, BackoffPolicy
from worker.delivery.messages import MOST_KEPT, MessageOptions, is_addressed_to
from worker.delivery.notify.base import AcknowledgingNotifier, Notifier
from worker.delivery.sender import ChannelSender
from worker.latest import ChannelStore, DeliveryAttempt, DeliveryStatus, MessageRef, StoreAway, StoreError
from worker.reporting.redis_retry import RedisRetry

log = structlog.get_logger()

TRIM_SECONDS = 60.0
"""Between two times that the outbox is rid of what every channel has settled."""


class Dispatcher:
    """Delivers what rules say through `notifiers`; without any, alerts are history only."""

    def __init__(
        self,
        channels: ChannelStore,
        notifiers: Sequence[Notifier],
        wording: MessageOptions,
        pace: BackoffPolicy = DEFAULT_BACKOFF,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._channels = channels
        self._notifiers = notifiers
        self._clock = clock
        self._is_open = False
        self._patience = RedisRetry("all")
        self._deliveries = [
            ChannelSender(
                each,
                channels.open_outbox(each.name),
                channels.open_receipts(each.name),
                wording,
                pace=pace,
                clock=clock,
            )
            for each in notifiers
        ]

    async def open(self) -> None:
        """
        Say which channels there are. Call before ticks are committed, or the first alerts are missed.

        It waits for a Redis that is away, for then nothing is sampled either; what Redis refuses to us alone holds up
        nobody else, and `run` tries it again.
        """
        while not self._is_open:
            try:
                await self._open()
            except StoreAway as error:
                await self._patience.wait(error)
            except StoreError as error:
                return await self._patience.wait(error)
            else:
                self._is_open = True
        return None

    async def _open(self) -> None:
        for gone in await self._channels.set_channels({each.name: each.kind for each in self._notifiers}):
            await self._close_channel(gone)
        for delivery in self._deliveries:
            await delivery.open()

    async def run(self) -> None:
        """Deliver, for ever; at once back where there is no channel."""
        while not self._is_open:
            await self.open()
        if not self._deliveries:
            return
        log.info("sending alerts", channels=[delivery.name for delivery in self._deliveries])
        async with asyncio.TaskGroup() as tasks:
            for delivery in self._deliveries:
                tasks.create_task(delivery.run())
            for each in self._notifiers:
                if isinstance(each, AcknowledgingNotifier):
                    receipts = self._channels.open_receipts(each.name)
                    tasks.create_task(AcknowledgementPoller(each, receipts, self._clock).run())
            tasks.create_task(self._trim_outbox())

    async def _trim_outbox(self) -> None:
        while True:
            await asyncio.sleep(TRIM_SECONDS)
            try:
                await self._channels.trim_outbox()
            except StoreError as error:
                await self._patience.wait(error)

    async def _close_channel(self, channel: str) -> None:
        """Put what a channel has left, that there is no more, among the dead letters, and forget it."""
        outbox, left = self._channels.open_outbox(channel), 0
        while entries := await outbox.read_entries():
            for entry in entries:
                alert = entry.alert
                if alert and not is_addressed_to(alert, channel):
                    continue
                message = alert.id if alert else f"unreadable.{entry.id}"
                why = "the channel is not configured any more"
                attempt = DeliveryAttempt(round(self._clock(), 3), channel, DeliveryStatus.GIVEN_UP, why, message)
                parcel = MessageRef(message, [entry.id], [alert.id] if alert else [])
                await outbox.record_dead(parcel, attempt, entry.written[:MOST_KEPT], "")
                left += 1
        await self._channels.drop_channel(channel)
        log.warning("a channel is not configured any more", channel=channel, dead_letters=left)
