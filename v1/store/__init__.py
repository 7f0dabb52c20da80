"""The only room that speaks Redis: a `Reader` for who asks, a `Writer` for who feeds, `Channels` for who sends."""

from .alerts import AlertQuery, AlertRecord, HistoryCursor
from .channels import ChannelStore
from .commands import AlertLimits
from .connection import LeaseLost, NoAccess, StoreAway, StoreError, Unreadable, connect
from .delivered import DeadLetter, DeliveryAttempt, DeliveryReader, DeliveryStatus
from .desk import AdminStore, LimitReached
from .future import DroppedFuture, FutureLists, FutureRemover
from .kept import KeptDay, TooManySamples, read_kept_day
from .listings import ListStore
from .outbox import MessageRef, Outbox, OutboxEntry, RetryState
from .plans import QuotaStore
from .reader import HourSamples, MetricSummary, NewestSample, Reader
from .receipts import Receipt, ReceiptStore
from .shelf import RuleStore, StoredRuleSet
from .toplist import MinuteRange, TopReader, TopWriter
from .verify import Verifier, VerifyReport
from .writer import Writer

__all__ = [
    "AdminStore",
    "AlertLimits",
    "AlertQuery",
    "AlertRecord",
    "ChannelStore",
    "DeadLetter",
    "DeliveryAttempt",
    "DeliveryReader",
    "DeliveryStatus",
    "DroppedFuture",
    "FutureLists",
    "FutureRemover",
    "HistoryCursor",
    "HourSamples",
    "KeptDay",
    "LeaseLost",
    "LimitReached",
    "ListStore",
    "MessageRef",
    "MetricSummary",
    "MinuteRange",
    "NewestSample",
    "NoAccess",
    "Outbox",
    "OutboxEntry",
    "QuotaStore",
    "Reader",
    "Receipt",
    "ReceiptStore",
    "RetryState",
    "RuleStore",
    "StoreAway",
    "StoreError",
    "StoredRuleSet",
    "TooManySamples",
    "TopReader",
    "TopWriter",
    "Unreadable",
    "Verifier",
    "VerifyReport",
    "Writer",
    "connect",
    "read_kept_day",
]
