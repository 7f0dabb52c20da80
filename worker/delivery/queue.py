"""The messages of one channel: read from the outbox, grouped into digests, and held until they are settled."""

from collections.abc import Sequence

from worker.delivery.messages import DigestBuilder, MessageOptions, is_addressed_to, make_message
from worker.delivery.outbox_client import OutboxClient
from worker.latest import DAY
from worker.latest.delivery import NEVER_TRIED, Disposition, OutboxEntry, QueuedMessage, RetryState
from worker.latest.messages import is_in_digest
from worker.reporting.redis_retry import Sleep

MOST_HELD = 1000
"""Messages that are held in memory; the others wait in the outbox."""


class DeliveryQueue:
    """The messages of one channel, by id; `sleep` is awaited instead of the outbox while no more are held."""

    def __init__(self, outbox: OutboxClient, options: MessageOptions, sleep: Sleep) -> None:
        self._outbox = outbox
        self._options = options
        self._sleep = sleep
        self._messages: dict[str, QueuedMessage] = {}
        self._digests = DigestBuilder(options)
        self._retries: dict[str, RetryState] = {}
        """Of messages that were tried before a restart, and not read again yet."""

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def is_gathering(self) -> bool:
        """Return whether some of what was read waits for the rest of its tick."""
        return bool(self._digests)

    async def open(self) -> str | None:
        """Continue where the channel stopped; return its state as it was recorded. Raises `StoreError`."""
        self._retries, state = await self._outbox.open()
        return state

    def hasten(self, after: float, until: float) -> None:
        """Let what was not to be retried before some time later than `after` be retried from `until` on."""
        self._retries = {
            message: retry._replace(next=until) if retry.next > after else retry
            for message, retry in self._retries.items()
        }

    async def read_new(self, wait: float) -> list[OutboxEntry]:
        """Read what is new, waiting up to `wait` seconds for it; return the entries that are not alerts."""
        if self._is_full():
            await self._sleep(wait)
            return []
        unreadable = await self._sort(await self._outbox.read_entries(wait))
        # Alerts up to this tick are all in the outbox, so what is read from here on completes them.
        tick = await self._outbox.read_tick() if self._digests else 0
        while not self._is_full():
            entries = await self._outbox.read_entries()
            if not entries:
                break
            unreadable += await self._sort(entries)
        for each in self._digests.take_complete(tick):
            self.add(each)
        return unreadable

    def add(self, new: QueuedMessage) -> None:
        queued = self._messages.setdefault(new.id, new)
        if queued is new:
            new.retry = self._retries.pop(new.id, NEVER_TRIED)
        else:  # it was read twice, as happens when a reply of Redis is lost
            queued.entries += [entry for entry in new.entries if entry not in queued.entries]

    def apply(self, queued: QueuedMessage, disposition: Disposition) -> None:
        """Hold a message until its next attempt, or remove it if it is settled."""
        if disposition.retry:
            queued.retry = disposition.retry
        else:
            del self._messages[queued.id]

    def list_due(self, now: float) -> list[QueuedMessage]:
        """Return what may be sent now: urgent messages first, then by fewest failures, then the oldest."""
        # A retry that is further off than a message lives was recorded by a clock that was ahead.
        due = [each for each in self._messages.values() if not now < each.retry.next <= now + DAY]
        # By failures, for one that fails where the others do not would else come before them each time it is due.
        return sorted(due, key=_sort_key)

    def list_older(self, when: float) -> list[QueuedMessage]:
        """Return the messages about ticks before `when`."""
        return [each for each in self._messages.values() if each.message.at < when]

    def find_next_time(self) -> float | None:
        """Return when the next message may be sent; `None` where there is none."""
        return min((each.retry.next for each in self._messages.values()), default=None)

    def _is_full(self) -> bool:
        return len(self._messages) >= MOST_HELD and not self._digests

    async def _sort(self, entries: Sequence[OutboxEntry]) -> list[OutboxEntry]:
        """Add alerts for this channel, skip those for others, and return what is not an alert."""
        unreadable, others = [], []
        for entry in entries:
            alert = entry.alert
            if alert is None:
                unreadable.append(entry)
            elif not is_addressed_to(alert, self._outbox.channel):
                others.append(entry.id)
            elif is_in_digest(alert):
                self._digests.add(entry, alert)
            else:
                self.add(make_message(entry, alert, self._options))
        await self._outbox.skip_entries(others)
        return unreadable


def _sort_key(queued: QueuedMessage) -> tuple[bool, int, int, str]:
    return not queued.message.is_urgent, queued.retry.failed, queued.message.at, queued.id
