"""How long something is usually silent, and so when it should have been heard of by now. Pure; times are milliseconds."""

TIMES_LONGEST = 3
"""What has been silent for so many times its longest pause should have been heard of."""
FEWEST_PAUSES = 5
"""So many pauses must be known before that can be told."""
FORGETTING = 0.02
"""By what part of the difference to a shorter pause the longest one is forgotten."""


class Pauses:
    """The pauses of one market, or of one connection. No silence up to `shortest` is too long."""

    def __init__(self, shortest: int) -> None:
        self._shortest = shortest
        self._heard_at = 0
        self._longest = 0.0
        self._count = 0

    def note(self, time: int) -> None:
        """Take in that it was heard of."""
        if self._heard_at and time > self._heard_at:
            pause = time - self._heard_at
            self._longest = max(pause, self._longest + FORGETTING * (pause - self._longest))
            self._count += 1
        self._heard_at = max(self._heard_at, time)

    def is_overdue(self, now: int) -> bool:
        """Return whether it should have been heard of by now, from how often it was."""
        most = max(self._shortest, TIMES_LONGEST * self._longest)
        return self._count >= FEWEST_PAUSES and now - self._heard_at > most

    def forget_silence(self, now: int) -> None:
        """Take in that there was nothing to be heard: its pauses may be as long as this one."""
        if self.is_overdue(now):
            self._longest, self._heard_at = float(now - self._heard_at), now
