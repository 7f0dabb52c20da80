"""Rules tried on history: what they would have said, and how often, before anybody is told. Pure."""

from .play import BacktestInput, BacktestResult, RulesNeverActive, Tick, make_ticks, play
from .report import CLOCK_UNKNOWN, RANK_OF_PART, make_report
from .sweep import Variant, make_variants

__all__ = [
    "CLOCK_UNKNOWN",
    "RANK_OF_PART",
    "BacktestInput",
    "BacktestResult",
    "RulesNeverActive",
    "Tick",
    "Variant",
    "make_report",
    "make_ticks",
    "make_variants",
    "play",
]
