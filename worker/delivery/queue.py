"""What one channel has to send: taken from the outbox, gathered where much belongs together, and held until settled."""

from collections.abc import Sequence

from worker.delivery.messages import (
    NEVER_TRIED,
    DigestBuilder,
    MessageOptions,
    QueuedMessage,
    is_addressed_to,
    make_message,
)
from worker.latest import DAY, Outbox, OutboxEntry, RetryState, is_in_digest
from worker.reporting.redis_retry import RedisRetry, Sleep

MOST_HELD = 1000
"""Messages that are held in memory; the others wait in the outbox."""


class DeliveryQueue:
    """The letters of one channel; `sleep` where there is no room for more."""

    def __init__(self, outbox: Outbox, wording: MessageOptions, patience: RedisRetry, sleep: Sleep) -> None:
        self._outbox = outbox
        self._wording = wording
        self._patience = patience
        self._sleep = sleep
        self._letters: dict[str, QueuedMessage] = {}
        self._gathering = DigestBuilder(wording)
        self._tries: dict[str, RetryState] = {}
        """Of messages that were tried before a restart, and not met again yet."""
        self._odd: list[OutboxEntry] = []

    def __len__(self) -> int:
        return len(self._letters)

    @property
    def is_gathering(self) -> bool:
        """Return whether some of what was taken waits for the rest of its tick."""
        return bool(self._gathering)

    async def open(self) -> str | None:
        """Take up where the channel was left; return what it noted of itself then. Raises `StoreError`."""
        await self._outbox.open()
        self._tries, itself = await self._outbox.read_retries()
        return itself

    def hasten(self, after: float, until: float) -> None:
        """Let what was not to be tried before some time beyond `after` be tried from `until` on."""
        self._tries = {
            message: tries._replace(next=until) if tries.next > after else tries
            for message, tries in self._tries.items()
        }

    async def read_new(self, wait: float) -> list[OutboxEntry]:
        """
        Take in what is new, waiting up to `wait` seconds for it; return the entries that are no alerts.

        Raises `StoreError`; what was taken by then is not lost.
        """
        if self._is_full():
            await self._sleep(wait)
            return []
        await self._sort(await self._outbox.read_entries(wait))
        # Alerts up to this tick are all in the outbox, so what is taken from here on completes them.
        tick = await self._outbox.read_tick() if self._gathering else 0
        while not self._is_full():
            entries = await self._outbox.read_entries()
            if not entries:
                break
            await self._sort(entries)
        for each in self._gathering.take_complete(tick):
            self.add(each)
        odd, self._odd = self._odd, []
        return odd

    def add(self, new: QueuedMessage) -> None:
        held = self._letters.setdefault(new.message.id, new)
        if held is new:
            new.tries = self._tries.pop(new.message.id, NEVER_TRIED)
        else:  # it was taken twice, as happens when an answer of Redis is lost
            held.entries += [entry for entry in new.entries if entry not in held.entries]

    def remove(self, held: QueuedMessage) -> None:
        del self._letters[held.message.id]

    def list_due(self, now: float) -> list[QueuedMessage]:
        """Return what may be sent now: the urgent in front, then what failed least, then the oldest."""
        # A try that is further off than a message lives was noted by a clock that was ahead.
        due = [each for each in self._letters.values() if not now < each.tries.next <= now + DAY]
        # One that fails where the others do not would else be in front of them each time that it is due.
        return sorted(due, key=_sort_key)

    def list_older(self, when: float) -> list[QueuedMessage]:
        """Return the letters about ticks before `when`."""
        return [each for each in self._letters.values() if each.message.at < when]

    def find_next_time(self) -> float | None:
        """Return when the next letter may be sent; `None` where there is none."""
        return min((each.tries.next for each in self._letters.values()), default=None)

    def _is_full(self) -> bool:
        return len(self._letters) >= MOST_HELD and not self._gathering

    async def _sort(self, entries: Sequence[OutboxEntry]) -> None:
        others = []
        for entry in entries:
            alert = entry.alert
            if alert is None:
                self._odd.append(entry)
            elif not is_addressed_to(alert, self._outbox.channel):
                others.append(entry.id)
            elif is_in_digest(alert):
                self._gathering.add(entry, alert)
            else:
                self.add(make_message(entry, alert, self._wording))
        await self._patience.retry_until_done(lambda: self._outbox.skip_entries(others))


def _sort_key(held: QueuedMessage) -> tuple[bool, int, int, str]:
    return not held.message.is_urgent, held.tries.failed, held.message.at, held.message.id
