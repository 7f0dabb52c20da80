"""The one import of a version: what `latest` is to the shell, this module is to the worker."""

from v1 import decimals, keys, moments, records
from v1.keys import LEASE_SECONDS
from v1.logs import configure as configure_logs
from v1.model import DAY, HOUR, MEASURES, MINUTE, Candle, Measure, Metric, Reading, Sample
from v1.records import Found, Heard, Step, advance
from v1.settings import PREFIX, Settings, Words, WrongSettings, words
from v1.store import Reader, Report, StoreAway, StoreError, Verifier, Writer, connect

__all__ = [
    "DAY",
    "HOUR",
    "LEASE_SECONDS",
    "MEASURES",
    "MINUTE",
    "PREFIX",
    "Candle",
    "Found",
    "Heard",
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
    "words",
]
