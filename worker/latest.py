"""The one import of a version: what `latest` is to the shell, this module is to the worker."""

from v1 import decimals, keys, moments, records
from v1.keys import LEASE_SECONDS
from v1.logs import configure as configure_logs
from v1.model import DAY, HOUR, MEASURES, MINUTE, Candle, Measure, Metric, Reading, Sample
from v1.ranks import score, standings
from v1.records import Found, Heard, Step, advance
from v1.rules import NO_RULES, Engine, Market, with_states
from v1.settings import PREFIX, Settings, Words, WrongSettings, words
from v1.store import Reader, Report, StoreAway, StoreError, Verifier, Writer, connect

__all__ = [
    "DAY",
    "HOUR",
    "LEASE_SECONDS",
    "MEASURES",
    "MINUTE",
    "NO_RULES",
    "PREFIX",
    "Candle",
    "Engine",
    "Found",
    "Heard",
    "Market",
    "Measure",
    "Metric",
    "Reader",
    "Reading",
    "Report",
    "Sample",
    "Settings",
    "Step",
    "StoreAway",
    "StoreError",
    "Verifier",
    "Words",
    "Writer",
    "WrongSettings",
    "advance",
    "configure_logs",
    "connect",
    "decimals",
    "keys",
    "moments",
    "records",
    "score",
    "standings",
    "with_states",
    "words",
]
