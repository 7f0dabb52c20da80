"""
What a source said at a tick, as the worker that asked it leaves it for whoever hands the tick out. Values and how they
are written; no Redis.

One deflated JSON array a source and tick:

    [tick, received, {metric: [price, volume, ...]}, why there is none or null,
     [metric that the source has], [dead metric], {closed metric: its word}, [other listed metric],
     {missing metric: why}, is known, [metric of which a reading was left out], has come back,
     {metric: [start, open, high, low, close, volume] of an hour}, {state}]
"""

import json
import zlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from ...market.slots import SlotReason
from ...model import Candle, Metric, Reading


class SourceAnswer(NamedTuple):
    """What a source said at a tick, and how it is."""

    at: int
    received: float
    """When the answer was here, unix seconds."""
    readings: Mapping[Metric, Reading]
    absence: SlotReason | None
    """Why there are no readings; `None` where it answered."""
    metrics: Sequence[Metric]
    """All that it has."""
    dead: Collection[Metric]
    """Markets that it lists and has no price of."""
    closed: Mapping[Metric, str]
    """Markets that it lists and that do not trade, each with its word for it."""
    unasked: Collection[Metric]
    """Others that it lists."""
    missing: Mapping[Metric, str]
    """What it was wished for and does not have, with the reason."""
    is_known: bool
    """Whether it has said what it has."""
    rejected: Collection[Metric]
    """Those of which a reading was left out."""
    has_come_back: bool
    """Whether it answers again, or has more."""
    hours: Mapping[Metric, Candle]
    """The exchange's candles of an hour that streams brought whole, once after its end."""
    state: Mapping[str, Any]
    """How it does, as the API shows it."""


def pack_answer(answer: SourceAnswer) -> bytes:
    """Return an answer as it is kept."""
    plain = answer._replace(
        metrics=[*answer.metrics],
        dead=sorted(answer.dead),
        unasked=sorted(answer.unasked),
        rejected=sorted(answer.rejected),
    )
    return zlib.compress(json.dumps(plain, separators=(",", ":")).encode(), 1)


def unpack_answer(packed: bytes) -> SourceAnswer:
    """Return what was kept. Raises `ValueError`, `TypeError` or `zlib.error` of something else."""
    found = SourceAnswer(*json.loads(zlib.decompress(packed)))
    return found._replace(
        readings={Metric(name): Reading(*reading) for name, reading in found.readings.items()},
        absence=None if found.absence is None else SlotReason(found.absence),
        dead=frozenset(found.dead),
        unasked=frozenset(found.unasked),
        rejected=frozenset(found.rejected),
        hours={Metric(name): Candle(*hour) for name, hour in found.hours.items()},
    )
