"""
What a worker may use of this version, and nothing else: whoever feeds another version finds the same names there.

Here are the values that are used everywhere, and the namespaces. A namespace states in its `__all__` what a worker may
use of it, and in its docstring the errors it raises.

    archive     SQL: the connection, and who writes over it
    backtest    what rules would have sent over samples that are over
    candles     hours and longer candles
    copies      copies of the archive's file
    decimals    arithmetic with numbers as they are received
    delivery    alerts on their way to people, in Redis
    exact_json  JSON that keeps the digits of its numbers
    market      how a tick moves a metric's state on, and how ranks follow
    messages    the texts of alerts
    rules       rules and silences, and files of rules
    settings    what both processes read from their environment; secrets; logs
    sharing     what several workers that share one divided store leave for each other in it
    store       Redis: who reads, writes, verifies or forgets
    toplist     lists of providers, the top list, and plans that are used up
"""

from .. import __version__
from ..model import DAY, HOUR, MEASURES, MINUTE, Candle, Measure, Metric, Reading, Sample, find_hour
from ..numbers.chunks import split_into_chunks
from ..numbers.times import format_iso, parse_iso
from . import (
    archive,
    backtest,
    candles,
    copies,
    decimals,
    delivery,
    exact_json,
    market,
    messages,
    rules,
    settings,
    sharing,
    store,
    toplist,
)

__all__ = [
    "DAY",
    "HOUR",
    "MEASURES",
    "MINUTE",
    "Candle",
    "Measure",
    "Metric",
    "Reading",
    "Sample",
    "__version__",
    "archive",
    "backtest",
    "candles",
    "copies",
    "decimals",
    "delivery",
    "exact_json",
    "find_hour",
    "format_iso",
    "market",
    "messages",
    "parse_iso",
    "rules",
    "settings",
    "sharing",
    "split_into_chunks",
    "store",
    "toplist",
]
