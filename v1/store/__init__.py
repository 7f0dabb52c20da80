"""The only room that speaks Redis: a `Reader` for who asks, a `Writer` for who feeds, `Channels` for who sends."""

from .channels import Channels
from .commands import AlertLimits
from .connection import StoreAway, StoreError, connect
from .delivered import Attempt, Dead, Delivered, Status
from .outbox import Entry, Outbox, Parcel, Tries
from .reader import Listed, Newest, OneHour, Reader
from .receipts import Receipt, Receipts
from .verify import Report, Verifier
from .writer import Writer

__all__ = [
    "AlertLimits",
    "Attempt",
    "Channels",
    "Dead",
    "Delivered",
    "Entry",
    "Listed",
    "Newest",
    "OneHour",
    "Outbox",
    "Parcel",
    "Reader",
    "Receipt",
    "Receipts",
    "Report",
    "Status",
    "StoreAway",
    "StoreError",
    "Tries",
    "Verifier",
    "Writer",
    "connect",
]
