"""
Sends what the outbox holds through one channel, at least once, and records what became of it. How a message
is worded and how a channel is asked is not known here.

    outbox ─▶ tray ─▶ due? ─▶ notifier ──▶ sent
               ▲                 │
               └──── later ──────┴──▶ dead letter: refused, or given up a day after the alert

A message is settled in one transaction, after the provider has said yes. Killed in between, it is sent again
with the same id: once for each message that was on its way.
"""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from worker.delivery.backoff import DEFAULT_BACKOFF, BackoffPolicy, ChannelState, compute_delay, read_channel_state
from worker.delivery.messages import (
    MOST_KEPT,
    MessageOptions,
    QueuedMessage,
    make_notice_id,
    make_quota_notice,
    make_unreadable_ref,
)
from worker.delivery.notify.base import Notifier, NotifyAnswer, NotifyLimited, NotifyRefused, NotSent, OutgoingMessage
from worker.delivery.queue import DeliveryQueue
from worker.latest import (
    DeliveryAttempt,
    DeliveryStatus,
    Outbox,
    OutboxEntry,
    Receipt,
    ReceiptStore,
    RetryState,
    StoreError,
)
from worker.reporting.redis_retry import RedisRetry, Sleep

log = structlog.get_logger()

IDLE_SECONDS = 5.0
"""So long we wait for the next entry, at most, before we look around."""
GATHERING_SECONDS = 0.1
"""Between two looks whether the tick is committed whose alerts are gathered."""
LAST_SECONDS = 5.0
"""How long a message that is on its way when we are stopped may take to arrive."""


class ChannelSender:
    """One channel's messages. Its trouble costs no other channel anything, and the sampling nothing."""

    def __init__(  # noqa: PLR0913  # the last four are for those who cannot wait
        self,
        notifier: Notifier,
        outbox: Outbox,
        receipts: ReceiptStore,
        wording: MessageOptions,
        *,
        pace: BackoffPolicy = DEFAULT_BACKOFF,
        clock: Callable[[], float] = time.time,
        sleep: Sleep = asyncio.sleep,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self.name = notifier.name
        self._notifier = notifier
        self._outbox = outbox
        self._receipts = receipts
        self._wording = wording
        self._pace = pace
        self._clock = clock
        self._dice = dice
        self._patience = RedisRetry(self.name, sleep)
        self._tray = DeliveryQueue(outbox, wording, self._patience, sleep)
        self._standing = ChannelState()
        self._refusals = 0
        self._trouble: str | None = None

    async def open(self) -> None:
        """Take up where the channel was left. Call before anything else, and before ticks are committed. Raises `StoreError`."""
        known = read_channel_state(await self._tray.open())
        sender, now = self._notifier.fingerprint, self._clock()
        self._standing = known.resumed(sender, now, self._pace)
        if not self._standing.is_low(now):
            # Who waits for a quota that may be another one by now waits no more; a failure's pause is shorter than that.
            self._tray.hasten(now if known.sender != sender else now + self._pace.kept, self._standing.until)
        await self._patience.retry_until_done(lambda: self._outbox.save_channel_state(self._standing.write()))

    async def run(self) -> None:
        """Send, for ever."""
        wait = 0.0
        while True:
            try:
                wait = await self.send_due(wait)
            except StoreError as error:
                await self._patience.wait(error)

    async def send_due(self, wait: float = 0.0) -> float:
        """
        Take in what is new, waiting up to `wait` seconds for it, and send what is due.

        Return the seconds until there may be something to do. Raises `StoreError`.
        """
        for entry in await self._tray.read_new(wait):
            await self._set_aside(entry)
        now = self._clock()
        for held in self._tray.list_older(now - self._pace.give_up):
            await self._give_up(held, self._standing.reason or "too old")
        self._hold_notice(now)
        if now >= self._rests_until():
            async with asyncio.TaskGroup() as tasks:
                for held in self._tray.list_due(now)[: self._notifier.connections]:
                    tasks.create_task(_run_to_end(self._send(held)))
        return self._idle(self._clock())

    def _hold_notice(self, now: float) -> None:
        """Hold one message that says so when little of the quota is left."""
        quota = self._standing.quota
        if quota and self._standing.is_low(now) and self._standing.told != quota.reset:
            self._tray.add(make_quota_notice(self.name, quota, int(now), self._wording))

    def _rests_until(self) -> float:
        # Nobody is asked to wait for longer: it was noted by a clock that was ahead.
        until, latest = self._standing.rests_until, self._clock() + self._pace.give_up
        return until if until <= latest else 0.0

    def _idle(self, now: float) -> float:
        soonest = self._tray.find_next_time()
        until = now + IDLE_SECONDS if soonest is None else max(soonest, self._rests_until())
        return min(max(0.0, until - now), GATHERING_SECONDS if self._tray.is_gathering else IDLE_SECONDS)

    # ---- one message

    async def _send(self, held: QueuedMessage) -> None:
        if not held.message.alerts and not self._standing.is_low(self._clock()):
            await self._drop_notice(held)
            return
        if self._is_kept_back(held.message):
            await self._keep_back(held)
            return
        try:
            answer = await self._notifier.send(held.message)
        except NotifyRefused as error:
            await self._handle_refused(held, error)
        except NotifyLimited as error:
            await self._handle_limited(held, error)
        except NotSent as error:
            await self._handle_failed(held, error)
        else:
            await self._handle_sent(held, answer)

    async def _handle_sent(self, held: QueuedMessage, answer: NotifyAnswer) -> None:
        if self._trouble is not None:
            log.info("channel is back", channel=self.name, held=len(self._tray))
        self._trouble, self._refusals = None, 0
        self._standing = self._standing.with_answer(answer.quota)
        if answer.receipt:
            receipt = Receipt(answer.receipt, held.ref.alerts, answer.until)
            await self._patience.retry_until_done(lambda: self._receipts.add(receipt))
        self._let_go(held)
        attempt = self._attempt(held.message.id, DeliveryStatus.SENT, answer.text)
        await self._patience.retry_until_done(
            lambda: self._outbox.record_sent(held.ref, attempt, self._standing.write())
        )

    async def _handle_refused(self, held: QueuedMessage, error: NotifyRefused) -> None:
        log.error("a message is refused", channel=self.name, message=held.message.id, answer=str(error))
        self._standing = self._standing.with_answer(error.quota)
        if error.for_all:
            now = self._clock()
            wait = compute_delay(self._refusals, self._pace.rest, self._pace.refused, self._dice())
            self._standing = self._standing.refused(now, now + wait, error)
            self._refusals += 1
        await self._record_dead(held, DeliveryStatus.REFUSED, str(error))

    async def _handle_failed(self, held: QueuedMessage, error: NotSent) -> None:
        self._log_trouble(str(error))
        now, failed = self._clock(), held.tries.failed
        self._standing = self._standing.with_failure(now, self._pace, self._dice(), error)
        after = now + compute_delay(failed, self._pace.pause, self._pace.longest, self._dice())
        await self._postpone(held, RetryState(failed + 1, after), DeliveryStatus.FAILED, str(error))

    async def _handle_limited(self, held: QueuedMessage, error: NotifyLimited) -> None:
        """Stay away as long as we are asked to; that is no failure of the message."""
        self._log_trouble(str(error))
        wait = self._pace.limited if error.wait is None else error.wait
        now = self._clock()
        until = now + min(max(wait, self._pace.pause), self._pace.give_up)
        self._standing = self._standing.with_limit(now, until, error)
        # It is held as long as any other: there may be a new quota, or another sender, before it is too old.
        until = min(until, held.message.at + self._pace.give_up)
        await self._postpone(held, held.tries._replace(next=until), DeliveryStatus.WAITING, str(error))

    async def _drop_notice(self, held: QueuedMessage) -> None:
        """Let go of a notice that could not be sent before it was untrue."""
        self._let_go(held)
        attempt = self._attempt(held.message.id, DeliveryStatus.GIVEN_UP, "the quota begins anew")
        await self._patience.retry_until_done(
            lambda: self._outbox.record_sent(held.ref, attempt, self._standing.write())
        )

    def _is_kept_back(self, message: OutgoingMessage) -> bool:
        return bool(message.alerts) and not message.is_urgent and self._standing.is_low(self._clock())

    async def _keep_back(self, held: QueuedMessage) -> None:
        quota = self._standing.quota
        if quota:
            why = f"kept back: {quota.remaining} of {quota.limit} messages are left, for what is critical"
            await self._postpone(held, held.tries._replace(next=quota.reset), DeliveryStatus.WAITING, why)

    async def _postpone(self, held: QueuedMessage, tries: RetryState, status: DeliveryStatus, answer: str) -> None:
        if tries.next > held.message.at + self._pace.give_up:
            await self._give_up(held, answer)
            return
        held.tries = tries
        attempt = self._attempt(held.message.id, status, answer)
        await self._patience.retry_until_done(
            lambda: self._outbox.record_postponed(held.ref, attempt, tries, self._standing.write())
        )

    async def _give_up(self, held: QueuedMessage, answer: str) -> None:
        log.error("a message is given up", channel=self.name, message=held.message.id, answer=answer)
        hours = (self._clock() - held.message.at) / 3600
        await self._record_dead(
            held,
            DeliveryStatus.GIVEN_UP,
            f"{answer}; given up {hours:.1f} h after its tick, after {held.tries.failed} failures",
        )

    async def _record_dead(self, held: QueuedMessage, status: DeliveryStatus, answer: str) -> None:
        self._let_go(held)
        attempt, written = self._attempt(held.message.id, status, answer), held.written[:MOST_KEPT]
        await self._patience.retry_until_done(
            lambda: self._outbox.record_dead(held.ref, attempt, written, self._standing.write())
        )

    async def _set_aside(self, entry: OutboxEntry) -> None:
        parcel, why = make_unreadable_ref(entry)
        log.error("a message is set aside", channel=self.name, entry=entry.id, reason=why)
        attempt, written = self._attempt(parcel.id, DeliveryStatus.REFUSED, why), entry.written[:MOST_KEPT]
        await self._patience.retry_until_done(
            lambda: self._outbox.record_dead(parcel, attempt, written, self._standing.write())
        )

    def _let_go(self, held: QueuedMessage) -> None:
        self._tray.remove(held)
        quota = self._standing.quota
        if quota and held.message.id == make_notice_id(self.name, quota):
            self._standing = self._standing._replace(told=quota.reset)

    def _attempt(self, message: str, status: DeliveryStatus, answer: str) -> DeliveryAttempt:
        return DeliveryAttempt(round(self._clock(), 3), self.name, status, answer, message)

    def _log_trouble(self, reason: str) -> None:
        """Log trouble once, and again when it is another."""
        if reason != self._trouble:
            self._trouble = reason
            log.warning("channel fails", channel=self.name, reason=reason, held=len(self._tray))


async def _run_to_end(sending: Coroutine[Any, Any, None]) -> None:
    """Send to the end, also when stopped: what was cut off would come twice."""
    task = asyncio.ensure_future(sending)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=LAST_SECONDS)
        task.cancel()
        raise
