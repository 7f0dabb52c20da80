"""
Sends what the outbox holds through one channel, at least once, and records what became of it.

    outbox ─▶ queue ─▶ due? ─▶ notifier ──▶ sent
                ▲                 │
                └──── retry ──────┴──▶ dead letter: refused, or given up a day after the alert

A message is settled in one transaction, after the provider has accepted it. A process that is killed in between
sends it again with the same id: at most once for each message that was being sent.
"""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from worker.delivery.backoff import DEFAULT_BACKOFF, BackoffPolicy
from worker.delivery.channel_state import ChannelState, read_channel_state
from worker.delivery.decision import AttemptContext, Decision, decide, decide_without_sending
from worker.delivery.messages import MessageOptions, explain_unreadable, make_quota_notice, make_unreadable
from worker.delivery.notify.base import Notifier, NotifyAnswer, NotifyRefused, NotSent
from worker.delivery.outbox_client import OutboxClient
from worker.delivery.queue import DeliveryQueue
from worker.latest.delivery import DeliveryStatus, Disposition, Outbox, QueuedMessage
from worker.reporting.metrics import WorkerInstruments, make_instruments
from worker.reporting.redis_retry import Sleep

log = structlog.get_logger()

IDLE_SECONDS = 5.0
"""The longest wait for new entries, or for the next message that is due."""
GATHERING_SECONDS = 0.1
"""Between two checks whether the tick is committed whose alerts are gathered for a digest."""
LAST_SECONDS = 5.0
"""How long a message that is being sent when we are stopped may take to arrive."""


class ChannelSender:
    """One channel's messages. Its failures delay no other channel, and not the sampling."""

    def __init__(  # noqa: PLR0913  # all but the first three by name
        self,
        notifier: Notifier,
        outbox: Outbox,
        options: MessageOptions,
        *,
        policy: BackoffPolicy = DEFAULT_BACKOFF,
        clock: Callable[[], float] = time.time,
        sleep: Sleep = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
        instruments: WorkerInstruments | None = None,
    ) -> None:
        self._instruments = instruments or make_instruments()
        self.name = notifier.name
        self._notifier = notifier
        self._outbox = OutboxClient(outbox, sleep)
        self._queue = DeliveryQueue(self._outbox, options, sleep)
        self._options = options
        self._policy = policy
        self._clock = clock
        self._jitter = jitter
        self._state = ChannelState()
        self._failure: str | None = None
        """The failure that was logged last; `None` while the channel works."""

    async def open(self) -> None:
        """Continue where the channel stopped. Call before anything else, and before ticks are committed. Raises `StoreError`."""
        recorded = read_channel_state(await self._queue.open())
        sender, now = self._notifier.fingerprint, self._clock()
        self._state = recorded.resume(sender, now, self._policy)
        if not self._state.is_low(now):
            # What waits for a quota that may be another one by now need not wait; the pause after a failure is shorter.
            after = now if recorded.sender != sender else now + self._policy.max_kept_delay
            self._queue.hasten(after, self._state.paused_until)
        await self._outbox.save_state(self._state.write())

    def describe_queue(self) -> tuple[int, int, float]:
        """Return how many messages wait in memory, how many tries in a row failed, and seconds until the next may be."""
        return len(self._queue), self._state.failures, max(0.0, self._next_send() - self._clock())

    async def run(self) -> None:
        """Send, forever."""
        wait = 0.0
        while True:
            wait = await self.send_due(wait)

    async def send_due(self, wait: float = 0.0) -> float:
        """
        Read what is new, waiting up to `wait` seconds for it, and send what is due.

        Return the seconds until there may be something to do.
        """
        for entry in await self._queue.read_new(wait):
            await self._record(make_unreadable(entry), Disposition(DeliveryStatus.REFUSED, explain_unreadable(entry)))
        now = self._clock()
        for queued in self._queue.list_older(now - self._policy.give_up_after):
            await self._settle_unsent(queued, now)
        self._add_quota_notice(now)
        if now >= self._next_send():
            async with asyncio.TaskGroup() as tasks:
                for queued in self._queue.list_due(now)[: self._notifier.connections]:
                    tasks.create_task(_run_to_end(self._send(queued)))
        return self._find_wait(self._clock())

    async def _send(self, queued: QueuedMessage) -> None:
        if await self._settle_unsent(queued, self._clock()):
            return
        outcome: NotifyAnswer | NotSent
        try:
            outcome = await self._notifier.send(queued.message)
        except NotSent as error:
            outcome = error
        self._log_outcome(outcome)
        context = AttemptContext(self._clock(), self._policy, self._jitter())
        await self._apply(queued, decide(self._state, queued, outcome, context))

    async def _settle_unsent(self, queued: QueuedMessage, now: float) -> bool:
        """Return whether a message is not to be sent now; then that is recorded."""
        decision = decide_without_sending(self._state, queued, AttemptContext(now, self._policy))
        if decision:
            await self._apply(queued, decision)
        return decision is not None

    async def _apply(self, queued: QueuedMessage, decision: Decision) -> None:
        self._state = decision.state
        self._queue.apply(queued, decision.disposition)
        await self._record(queued, decision.disposition)

    async def _record(self, queued: QueuedMessage, disposition: Disposition) -> None:
        if disposition.status.is_dead:
            status, answer = disposition.status.value, disposition.answer
            log.error("message not delivered", channel=self.name, message=queued.id, status=status, answer=answer)
        await self._outbox.record(queued, disposition, self._state.write(), self._clock())
        self._instruments.record_delivery(self.name, disposition.status.value, self._clock() - queued.message.at)

    def _add_quota_notice(self, now: float) -> None:
        """Queue one message that notifies users that the quota is low."""
        quota = self._state.quota
        if quota and self._state.is_low(now) and self._state.notified_reset != quota.reset:
            self._queue.add(make_quota_notice(self.name, quota, int(now), self._options))

    def _next_send(self) -> float:
        # No provider is obeyed for longer than a message lives: such a pause was recorded by a clock that was ahead.
        until, latest = self._state.next_send, self._clock() + self._policy.give_up_after
        return until if until <= latest else 0.0

    def _find_wait(self, now: float) -> float:
        soonest = self._queue.find_next_time()
        until = now + IDLE_SECONDS if soonest is None else max(soonest, self._next_send())
        return min(max(0.0, until - now), GATHERING_SECONDS if self._queue.is_gathering else IDLE_SECONDS)

    def _log_outcome(self, outcome: NotifyAnswer | NotSent) -> None:
        """Log a failure of the channel once, and again when it is another; and when the channel works again."""
        if isinstance(outcome, NotifyAnswer):
            if self._failure is not None:
                log.info("channel works again", channel=self.name, waiting=len(self._queue))
            self._failure = None
        elif not isinstance(outcome, NotifyRefused) and str(outcome) != self._failure:
            self._failure = str(outcome)
            log.warning("channel fails, retrying", channel=self.name, reason=self._failure, waiting=len(self._queue))


async def _run_to_end(sending: Coroutine[Any, Any, None]) -> None:
    """Finish sending also when we are stopped: a message that is cut off would be sent twice."""
    task = asyncio.ensure_future(sending)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=LAST_SECONDS)
        task.cancel()
        raise
