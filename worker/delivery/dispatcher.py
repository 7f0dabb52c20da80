"""Runs all channels, each in tasks of its own so that a slow one delays no other, and trims the outbox."""

import asyncio
import time
from collections.abc import Callable, Sequence

import structlog

from worker.delivery.acknowledgements import AcknowledgementPoller
from worker.delivery.backoff import DEFAULT_BACKOFF, BackoffPolicy
from worker.delivery.messages import MessageOptions, is_addressed_to, make_message, make_unreadable
from worker.delivery.notify.base import AcknowledgingNotifier, Notifier
from worker.delivery.sender import ChannelSender
from worker.latest.delivery import ChannelStore, DeliveryStatus, Disposition
from worker.latest.store import StoreAway, StoreError
from worker.reporting.metrics import WorkerInstruments
from worker.reporting.redis_retry import RedisRetry

log = structlog.get_logger()

TRIM_SECONDS = 60.0
"""Between two times that the outbox is trimmed."""


class Dispatcher:
    """Delivers alerts through `notifiers`; without any, alerts are only kept in the history."""

    def __init__(  # noqa: PLR0913  # the last by name
        self,
        channels: ChannelStore,
        notifiers: Sequence[Notifier],
        options: MessageOptions,
        policy: BackoffPolicy = DEFAULT_BACKOFF,
        clock: Callable[[], float] = time.time,
        *,
        instruments: WorkerInstruments | None = None,
    ) -> None:
        self._channels = channels
        self._notifiers = notifiers
        self._clock = clock
        self._options = options
        self._is_open = False
        self._retry = RedisRetry("all")
        self._senders = [
            ChannelSender(
                each, channels.open_outbox(each.name), options, policy=policy, clock=clock, instruments=instruments
            )
            for each in notifiers
        ]

    def describe_queues(self) -> dict[str, tuple[int, int, float]]:
        """Return what `ChannelSender.describe_queue` gives, of each channel by its name."""
        return {sender.name: sender.describe_queue() for sender in self._senders}

    async def open(self) -> None:
        """
        Record which channels there are. Call before ticks are committed, or the first alerts are missed.

        It waits while Redis is away, for then nothing is sampled either. Where Redis answers with an error, it returns,
        so that the sampling does not wait, and `run` tries again.
        """
        while not self._is_open:
            try:
                await self._open()
            except StoreAway as error:
                await self._retry.wait(error)
            except StoreError as error:
                return await self._retry.wait(error)
            else:
                self._is_open = True
        return None

    async def _open(self) -> None:
        for removed in await self._channels.set_channels({each.name: each.kind for each in self._notifiers}):
            await self._close_channel(removed)
        for sender in self._senders:
            await sender.open()

    async def run(self) -> None:
        """Deliver, forever; return at once where there is no channel."""
        while not self._is_open:
            await self.open()
        if not self._senders:
            return
        log.info("sending alerts", channels=[sender.name for sender in self._senders])
        async with asyncio.TaskGroup() as tasks:
            for sender in self._senders:
                tasks.create_task(sender.run())
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
                await self._retry.wait(error)

    async def _close_channel(self, channel: str) -> None:
        """Record as dead letters what a channel that is not configured any more has left, and delete the channel."""
        outbox, count = self._channels.open_outbox(channel), 0
        disposition = Disposition(DeliveryStatus.GIVEN_UP, "the channel is not configured any more")
        while entries := await outbox.read_entries():
            for entry in entries:
                if entry.alert and not is_addressed_to(entry.alert, channel):
                    continue
                queued = make_message(entry, entry.alert, self._options) if entry.alert else make_unreadable(entry)
                await outbox.record(queued, disposition, "", self._clock())
                count += 1
        await self._channels.drop_channel(channel)
        log.warning("channel not configured any more", channel=channel, dead_letters=count)
