"""The only room that speaks Redis: a `Reader` for who asks, a `Writer` for who feeds, `Channels` for who sends."""

from .alerts import Place, Told, Wanted
from .channels import Channels
from .commands import AlertLimits
from .connection import LeaseLost, NoAccess, StoreAway, StoreError, Unreadable, connect
from .delivered import Attempt, Dead, Delivered, Status
from .desk import Desk, TooMany
from .future import Dropped, FutureLists, FutureRemover
from .kept import Kept, TooMuch, kept_day
from .listings import Listings
from .outbox import Entry, Outbox, Parcel, Tries
from .plans import Plans
from .reader import Listed, Newest, OneHour, Reader
from .receipts import Receipt, Receipts
from .shelf import Shelf, Shelved
from .toplist import Span, TopReader, TopWriter
from .verify import Report, Verifier
from .writer import Writer

__all__ = [
    "AlertLimits",
    "Attempt",
    "Channels",
    "Dead",
    "Delivered",
    "Desk",
    "Dropped",
    "Entry",
    "FutureLists",
    "FutureRemover",
    "Kept",
    "LeaseLost",
    "Listed",
    "Listings",
    "Newest",
    "NoAccess",
    "OneHour",
    "Outbox",
    "Parcel",
    "Place",
    "Plans",
    "Reader",
    "Receipt",
    "Receipts",
    "Report",
    "Shelf",
    "Shelved",
    "Span",
    "Status",
    "StoreAway",
    "StoreError",
    "Told",
    "TooMany",
    "TooMuch",
    "TopReader",
    "TopWriter",
    "Tries",
    "Unreadable",
    "Verifier",
    "Wanted",
    "Writer",
    "connect",
    "kept_day",
]
