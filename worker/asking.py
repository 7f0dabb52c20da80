"""Ask every source once and merge what they say. What a failure costs is `Watched`'s business."""

import asyncio
from collections.abc import Mapping, Sequence

from worker.latest import Heard, Metric
from worker.sources.watched import Watched


async def ask(sources: Sequence[Watched], at: int) -> Mapping[Metric, Heard]:
    """Give what was heard of tick `at`; of two sources that know a metric, the first in order gives it."""
    answers = await asyncio.gather(*[source.readings(at) for source in sources])
    heard: dict[Metric, Heard] = {}
    for source, readings in zip(sources, answers, strict=True):
        for metric, reading in readings.items():
            heard.setdefault(metric, Heard(reading, source.name))
    return heard
