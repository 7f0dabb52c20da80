"""The one import of a version: what `latest` is to the shell, this module is to the worker."""

from v1 import decimals, keys, moments
from v1.model import (
    DAY,
    HOUR,
    MEASURES,
    MINUTE,
    Candle,
    Measure,
    Metric,
    Reading,
    Sample,
)
from v1.settings import Settings, WrongSettings
from v1.store import Reader, StoreAway, Writer

__all__ = [
    "DAY",
    "HOUR",
    "MEASURES",
    "MINUTE",
    "Candle",
    "Measure",
    "Metric",
    "Reader",
    "Reading",
    "Sample",
    "Settings",
    "StoreAway",
    "Writer",
    "WrongSettings",
    "decimals",
    "keys",
    "moments",
]
