"""The only room that speaks Redis: a `Reader` for who asks, a `Writer` for who feeds."""

from .connection import StoreAway, StoreError, connect
from .reader import Listed, Newest, Reader
from .verify import Report, Verifier
from .writer import Writer

__all__ = ["Listed", "Newest", "Reader", "Report", "StoreAway", "StoreError", "Verifier", "Writer", "connect"]
