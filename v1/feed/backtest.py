"""What rules would have sent over samples that are over. Errors: `RulesNeverActive`."""

from ..backtest import (
    CLOCK_UNKNOWN,
    BacktestInput,
    RulesNeverActive,
    Tick,
    make_report,
    make_ticks,
    make_variants,
    play,
)

__all__ = [
    "CLOCK_UNKNOWN",
    "BacktestInput",
    "RulesNeverActive",
    "Tick",
    "make_report",
    "make_ticks",
    "make_variants",
    "play",
]
