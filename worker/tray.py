"""What one channel has to send: taken from the outbox, gathered where much belongs together, and held until settled."""

from collections.abc import Sequence

from worker.latest import DAY, Entry, Outbox, Tries, is_in_digest
from worker.letters import NEVER_TRIED, Gathering, Letter, Wording, goes_to, letter
from worker.patience import Patience, Sleep

MOST_HELD = 1000
"""Messages that are held in memory; the others wait in the outbox."""


class Tray:
    """The letters of one channel; `sleep` where there is no room for more."""

    def __init__(self, outbox: Outbox, wording: Wording, patience: Patience, sleep: Sleep) -> None:
        self._outbox = outbox
        self._wording = wording
        self._patience = patience
        self._sleep = sleep
        self._letters: dict[str, Letter] = {}
        self._gathering = Gathering(wording)
        self._tries: dict[str, Tries] = {}
        """Of messages that were tried before a restart, and not met again yet."""
        self._odd: list[Entry] = []

    def __len__(self) -> int:
        return len(self._letters)

    @property
    def is_gathering(self) -> bool:
        """Tell whether some of what was taken waits for the rest of its tick."""
        return bool(self._gathering)

    async def open(self) -> str | None:
        """Take up where the channel was left; give what it noted of itself then. Raises `StoreError`."""
        await self._outbox.open()
        self._tries, itself = await self._outbox.remembered()
        return itself

    def hasten(self, after: float, until: float) -> None:
        """Let what was not to be tried before some time beyond `after` be tried from `until` on."""
        self._tries = {
            message: tries._replace(next=until) if tries.next > after else tries
            for message, tries in self._tries.items()
        }

    async def take_in(self, wait: float) -> list[Entry]:
        """
        Take in what is new, waiting up to `wait` seconds for it; give the entries that are no alerts.

        Raises `StoreError`; what was taken by then is not lost.
        """
        if self._is_full():
            await self._sleep(wait)
            return []
        await self._sort(await self._outbox.take(wait))
        # Alerts up to this tick are all in the outbox, so what is taken from here on completes them.
        tick = await self._outbox.tick() if self._gathering else 0
        while not self._is_full():
            entries = await self._outbox.take()
            if not entries:
                break
            await self._sort(entries)
        for each in self._gathering.complete(tick):
            self.hold(each)
        odd, self._odd = self._odd, []
        return odd

    def hold(self, new: Letter) -> None:
        held = self._letters.setdefault(new.message.id, new)
        if held is new:
            new.tries = self._tries.pop(new.message.id, NEVER_TRIED)
        else:  # it was taken twice, as happens when an answer of Redis is lost
            held.entries += [entry for entry in new.entries if entry not in held.entries]

    def let_go(self, held: Letter) -> None:
        del self._letters[held.message.id]

    def due(self, now: float) -> list[Letter]:
        """Give what may be sent now: the urgent in front, then what failed least, then the oldest."""
        # A try that is further off than a message lives was noted by a clock that was ahead.
        due = [each for each in self._letters.values() if not now < each.tries.next <= now + DAY]
        # One that fails where the others do not would else be in front of them each time that it is due.
        return sorted(due, key=_order)

    def from_before(self, when: float) -> list[Letter]:
        """Give the letters about ticks before `when`."""
        return [each for each in self._letters.values() if each.message.at < when]

    def next(self) -> float | None:
        """Give when the next letter may be sent; `None` where there is none."""
        return min((each.tries.next for each in self._letters.values()), default=None)

    def _is_full(self) -> bool:
        return len(self._letters) >= MOST_HELD and not self._gathering

    async def _sort(self, entries: Sequence[Entry]) -> None:
        others = []
        for entry in entries:
            alert = entry.alert
            if alert is None:
                self._odd.append(entry)
            elif not goes_to(alert, self._outbox.channel):
                others.append(entry.id)
            elif is_in_digest(alert):
                self._gathering.add(entry, alert)
            else:
                self.hold(letter(entry, alert, self._wording))
        await self._patience.until_done(lambda: self._outbox.skip(others))


def _order(held: Letter) -> tuple[bool, int, int, str]:
    return not held.message.is_urgent, held.tries.failed, held.message.at, held.message.id
