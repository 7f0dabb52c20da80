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

from worker.backoff import PACE, Pace, Standing, delay, standing
from worker.latest import Attempt, Entry, Outbox, Receipt, Receipts, Status, StoreError, Tries
from worker.letters import MOST_KEPT, Letter, Wording, low, notice_id, unreadable
from worker.notify.base import Answer, Limited, Message, Notifier, NotSent, Refused
from worker.patience import Patience, Sleep
from worker.tray import Tray

log = structlog.get_logger()

IDLE_SECONDS = 5.0
"""So long we wait for the next entry, at most, before we look around."""
GATHERING_SECONDS = 0.1
"""Between two looks whether the tick is committed whose alerts are gathered."""
LAST_SECONDS = 5.0
"""How long a message that is on its way when we are stopped may take to arrive."""


class Delivery:
    """One channel's messages. Its trouble costs no other channel anything, and the sampling nothing."""

    def __init__(  # noqa: PLR0913  # the last four are for those who cannot wait
        self,
        notifier: Notifier,
        outbox: Outbox,
        receipts: Receipts,
        wording: Wording,
        *,
        pace: Pace = PACE,
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
        self._patience = Patience(self.name, sleep)
        self._tray = Tray(outbox, wording, self._patience, sleep)
        self._standing = Standing()
        self._refusals = 0
        self._trouble: str | None = None

    async def open(self) -> None:
        """Take up where the channel was left. Call before anything else, and before ticks are committed. Raises `StoreError`."""
        known = standing(await self._tray.open())
        sender, now = self._notifier.fingerprint, self._clock()
        self._standing = known.resumed(sender, now, self._pace)
        if not self._standing.is_low(now):
            # Who waits for a quota that may be another one by now waits no more; a failure's pause is shorter than that.
            self._tray.hasten(now if known.sender != sender else now + self._pace.kept, self._standing.until)
        await self._patience.until_done(lambda: self._outbox.note(self._standing.written()))

    async def run(self) -> None:
        """Send, for ever."""
        wait = 0.0
        while True:
            try:
                wait = await self.turn(wait)
            except StoreError as error:
                await self._patience.wait(error)

    async def turn(self, wait: float = 0.0) -> float:
        """
        Take in what is new, waiting up to `wait` seconds for it, and send what is due.

        Give the seconds until there may be something to do. Raises `StoreError`.
        """
        for entry in await self._tray.take_in(wait):
            await self._set_aside(entry)
        now = self._clock()
        for held in self._tray.from_before(now - self._pace.give_up):
            await self._give_up(held, self._standing.reason or "too old")
        self._hold_notice(now)
        if now >= self._rests_until():
            async with asyncio.TaskGroup() as tasks:
                for held in self._tray.due(now)[: self._notifier.connections]:
                    tasks.create_task(_finished(self._send(held)))
        return self._idle(self._clock())

    def _hold_notice(self, now: float) -> None:
        """Hold one message that says so when little of the quota is left."""
        quota = self._standing.quota
        if quota and self._standing.is_low(now) and self._standing.told != quota.reset:
            self._tray.hold(low(self.name, quota, int(now), self._wording))

    def _rests_until(self) -> float:
        # Nobody is asked to wait for longer: it was noted by a clock that was ahead.
        until, latest = self._standing.rests_until, self._clock() + self._pace.give_up
        return until if until <= latest else 0.0

    def _idle(self, now: float) -> float:
        soonest = self._tray.next()
        until = now + IDLE_SECONDS if soonest is None else max(soonest, self._rests_until())
        return min(max(0.0, until - now), GATHERING_SECONDS if self._tray.is_gathering else IDLE_SECONDS)

    # ---- one message

    async def _send(self, held: Letter) -> None:
        if not held.message.alerts and not self._standing.is_low(self._clock()):
            await self._drop(held)
            return
        if self._is_kept_back(held.message):
            await self._keep_back(held)
            return
        try:
            answer = await self._notifier.send(held.message)
        except Refused as error:
            await self._refused(held, error)
        except Limited as error:
            await self._limited(held, error)
        except NotSent as error:
            await self._failed(held, error)
        else:
            await self._sent(held, answer)

    async def _sent(self, held: Letter, answer: Answer) -> None:
        if self._trouble is not None:
            log.info("channel is back", channel=self.name, held=len(self._tray))
        self._trouble, self._refusals = None, 0
        self._standing = self._standing.answered(answer.quota)
        if answer.receipt:
            receipt = Receipt(answer.receipt, held.parcel.alerts, answer.until)
            await self._patience.until_done(lambda: self._receipts.put(receipt))
        self._let_go(held)
        attempt = self._attempt(held.message.id, Status.SENT, answer.text)
        await self._patience.until_done(lambda: self._outbox.settle(held.parcel, attempt, self._standing.written()))

    async def _refused(self, held: Letter, error: Refused) -> None:
        log.error("a message is refused", channel=self.name, message=held.message.id, answer=str(error))
        self._standing = self._standing.answered(error.quota)
        if error.for_all:
            now = self._clock()
            wait = delay(self._refusals, self._pace.rest, self._pace.refused, self._dice())
            self._standing = self._standing.refused(now, now + wait, error)
            self._refusals += 1
        await self._bury(held, Status.REFUSED, str(error))

    async def _failed(self, held: Letter, error: NotSent) -> None:
        self._tell(str(error))
        now, failed = self._clock(), held.tries.failed
        self._standing = self._standing.failed(now, self._pace, self._dice(), error)
        after = now + delay(failed, self._pace.pause, self._pace.longest, self._dice())
        await self._postpone(held, Tries(failed + 1, after), Status.FAILED, str(error))

    async def _limited(self, held: Letter, error: Limited) -> None:
        """Stay away as long as we are asked to; that is no failure of the message."""
        self._tell(str(error))
        wait = self._pace.limited if error.wait is None else error.wait
        now = self._clock()
        until = now + min(max(wait, self._pace.pause), self._pace.give_up)
        self._standing = self._standing.limited(now, until, error)
        # It is held as long as any other: there may be a new quota, or another sender, before it is too old.
        until = min(until, held.message.at + self._pace.give_up)
        await self._postpone(held, held.tries._replace(next=until), Status.WAITING, str(error))

    async def _drop(self, held: Letter) -> None:
        """Let go of a notice that could not be sent before it was untrue."""
        self._let_go(held)
        attempt = self._attempt(held.message.id, Status.GIVEN_UP, "the quota begins anew")
        await self._patience.until_done(lambda: self._outbox.settle(held.parcel, attempt, self._standing.written()))

    def _is_kept_back(self, message: Message) -> bool:
        return bool(message.alerts) and not message.is_urgent and self._standing.is_low(self._clock())

    async def _keep_back(self, held: Letter) -> None:
        quota = self._standing.quota
        if quota:
            why = f"kept back: {quota.remaining} of {quota.limit} messages are left, for what is critical"
            await self._postpone(held, held.tries._replace(next=quota.reset), Status.WAITING, why)

    async def _postpone(self, held: Letter, tries: Tries, status: Status, answer: str) -> None:
        if tries.next > held.message.at + self._pace.give_up:
            await self._give_up(held, answer)
            return
        held.tries = tries
        attempt = self._attempt(held.message.id, status, answer)
        await self._patience.until_done(
            lambda: self._outbox.postpone(held.parcel, attempt, tries, self._standing.written())
        )

    async def _give_up(self, held: Letter, answer: str) -> None:
        log.error("a message is given up", channel=self.name, message=held.message.id, answer=answer)
        hours = (self._clock() - held.message.at) / 3600
        await self._bury(
            held,
            Status.GIVEN_UP,
            f"{answer}; given up {hours:.1f} h after its tick, after {held.tries.failed} failures",
        )

    async def _bury(self, held: Letter, status: Status, answer: str) -> None:
        self._let_go(held)
        attempt, written = self._attempt(held.message.id, status, answer), held.written[:MOST_KEPT]
        await self._patience.until_done(
            lambda: self._outbox.bury(held.parcel, attempt, written, self._standing.written())
        )

    async def _set_aside(self, entry: Entry) -> None:
        parcel, why = unreadable(entry)
        log.error("a message is set aside", channel=self.name, entry=entry.id, reason=why)
        attempt, written = self._attempt(parcel.id, Status.REFUSED, why), entry.written[:MOST_KEPT]
        await self._patience.until_done(lambda: self._outbox.bury(parcel, attempt, written, self._standing.written()))

    def _let_go(self, held: Letter) -> None:
        self._tray.let_go(held)
        quota = self._standing.quota
        if quota and held.message.id == notice_id(self.name, quota):
            self._standing = self._standing._replace(told=quota.reset)

    def _attempt(self, message: str, status: Status, answer: str) -> Attempt:
        return Attempt(round(self._clock(), 3), self.name, status, answer, message)

    def _tell(self, reason: str) -> None:
        """Log trouble once, and again when it is another."""
        if reason != self._trouble:
            self._trouble = reason
            log.warning("channel fails", channel=self.name, reason=reason, held=len(self._tray))


async def _finished(sending: Coroutine[Any, Any, None]) -> None:
    """Send to the end, also when stopped: what was cut off would come twice."""
    task = asyncio.ensure_future(sending)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=LAST_SECONDS)
        task.cancel()
        raise
