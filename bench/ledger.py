"""
A week of a worker with a provider made up, and 200 random faults: the source fails, leaves a metric out, has no candles at
the first try; the worker is killed, Redis is away, samples are deleted. Twice a day every slot of the day is looked at:
whether each is accounted for, whether all that the provider could give is there, and whether any is called `ok` that is not.
"""

from collections import Counter
from collections.abc import Iterator

import uvloop

from bench import servers
from bench.report import Figure, at_least, at_most, beside
from tests.support.slot_week import METRICS, SlotFindings, open_week
from v1.model import DAY, MINUTE

FAULTS, SEED = 200, 13


def measure() -> Iterator[Figure]:
    found, faults, longest = uvloop.run(_play_week())
    kinds = ", ".join(f"{count} {name.strip('_').replace('_', ' ')}" for name, count in sorted(faults.items()))
    how = f"{faults.total()} faults ({kinds}), {len(found)} looks at {len(METRICS)} metrics"
    slots = sum(each.slots for each in found)
    yield at_least("slots accounted for", slots / (len(found) * len(METRICS) * (DAY // MINUTE)) * 100, 100, " %", how)
    yield at_most("slots called ok that were not sampled in time", sum(each.wrong_ok for each in found), 0, "", how)
    yield at_most(
        "slots sampled in time and called something else", sum(each.wrong_other for each in found), 0, "", how
    )
    yield at_most("slots missing that the provider could give", sum(each.unfilled for each in found), 0, "", how)
    yield at_most("missing slots with another reason", sum(each.wrong_reasons for each in found), 0, "", how)
    states = sum((each.states for each in found), Counter())
    shown = ", ".join(f"{100 * states[state] / slots:.1f} % {state}" for state in sorted(states))
    yield beside("slots by state", shown, f"{slots:,} slots")
    yield beside("bytes of the marks of a metric and day, at most", f"{longest}", f"beside {DAY // MINUTE} samples")


async def _play_week() -> tuple[list[SlotFindings], Counter[str], int]:
    async with (
        servers.running(next(iter(servers.binaries()))) as server,
        open_week(server.redis, SEED, 7 * DAY // MINUTE) as week,
    ):
        found = [each async for each in week.play(FAULTS)]
        return found, week.faults, week.longest_marks
