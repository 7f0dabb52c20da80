"""Times as people write and read them on the command line."""

import time
from math import lcm

from worker.latest import MINUTE, parse_iso
from worker.sampling.recording import Recording

TEN_DIGITS = 10**10
"""Unix seconds have ten digits until 2286; what has more is milliseconds, or a mistake."""


def shift_recording(recording: Recording, until: str, interval: int) -> Recording:
    """Move a recording as `--until` says; raises `ValueError`."""
    moved = recording.shift_to_end(parse_instant(until), lcm(interval, MINUTE))
    if moved.first <= 0:
        raise ValueError(f"--until: {until!r} is too early: the recording would begin before 1970")
    return moved


def parse_instant(text: str, option: str = "--until") -> int:
    """Read `now`, unix seconds or ISO 8601 (UTC where it names no zone); raises `ValueError`."""
    if text == "now":
        return int(time.time())
    try:
        instant = int(text) if text.isdecimal() else parse_iso(text)
    except ValueError as error:
        raise ValueError(f"{option}: {text!r} is not a time: now, unix seconds or ISO 8601 are") from error
    if not 0 < instant < TEN_DIGITS:
        raise ValueError(f"{option}: {text!r} is not a time from 1970 to 2286")
    return instant
