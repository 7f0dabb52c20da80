"""Rules tried on history: what they would have said, and how often, before anybody is told. Pure."""

from .play import NeverOn, Played, Tick, Trial, play, ticks_of
from .report import CLOCK_UNKNOWN, RANK_OF_PART, report
from .sweep import Variant, variants

__all__ = [
    "CLOCK_UNKNOWN",
    "RANK_OF_PART",
    "NeverOn",
    "Played",
    "Tick",
    "Trial",
    "Variant",
    "play",
    "report",
    "ticks_of",
    "variants",
]
