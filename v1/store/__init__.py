"""The only package that speaks Redis: `Reader` for who reads, `Writer` for who feeds, `ChannelStore` for who sends."""

from .admin import MOST_SILENCES, OF_ACKNOWLEDGEMENT, UNTIL_OVER, Acknowledgement, AdminStore, LimitReached
from .alert_history import AlertQuery, AlertReader, AlertRecord, HistoryCursor, parse_alert
from .alert_limits import AlertLimits
from .api_keys import ApiKey, ApiKeyStore, KeyScope
from .budgets import BudgetStore, ProviderUsage
from .changes import EVERYTHING, Change, ChangeFeed, ChangeKind, follow_replicas, open_change_feed, put_change
from .connection import DataMoved, LeaseLost, NoAccess, OtherPartitions, StoreAway, StoreError, Unreadable, connect
from .data_format import DataFormat, OtherFormat
from .delivery.channels import ChannelStore
from .delivery.history import DeadLetter, DeliveryAttempt, DeliveryReader, DeliveryStatus
from .delivery.outbox import Outbox, OutboxEntry, check_alert
from .delivery.queued_message import NEVER_TRIED, Disposition, OutgoingMessage, QueuedMessage, RetryState
from .delivery.receipts import Receipt, ReceiptStore
from .event_log import EventKind
from .events import FIRST_ID, EventId, EventReader, LoggedEvent, MarketRow, parse_event_id
from .future import DroppedFuture, FutureLists, FutureRemover
from .kept_day import KeptDay, TooManySamples, read_kept_day
from .keys import KEEP as STATE_KEPT_SECONDS
from .keys import LEASE_SECONDS
from .lease import Lease
from .list_reader import ColumnQuery, CurrentMetric, ListReader, PastReads, RankKey, RankPlaces
from .message_tests import MessageTest, MessageTestStore, TooEarly
from .pool import RedisObserver
from .rank_history import KeptPlace, RankHistoryReader
from .ranks import UnrankedMetric
from .rate_limits import RateLimitStore, UsageLimit, WindowUsage
from .reader import HourSamples, MetricSummary, NewestSample, Reader
from .replays import ReplayStore
from .rule_store import RuleStore, StoredRuleSet
from .tick_unit import TickUnit
from .toplist.lists import ListStore
from .toplist.quotas import QuotaStore
from .toplist.snapshots import MinuteRange, TopReader, TopWriter
from .tracking import MetricReading, OpenedHour, TrackedReader
from .verify import Verifier, VerifyReport
from .writer import Writer

__all__ = [
    "EVERYTHING",
    "FIRST_ID",
    "LEASE_SECONDS",
    "MOST_SILENCES",
    "NEVER_TRIED",
    "OF_ACKNOWLEDGEMENT",
    "STATE_KEPT_SECONDS",
    "UNTIL_OVER",
    "Acknowledgement",
    "AdminStore",
    "AlertLimits",
    "AlertQuery",
    "AlertReader",
    "AlertRecord",
    "ApiKey",
    "ApiKeyStore",
    "BudgetStore",
    "Change",
    "ChangeFeed",
    "ChangeKind",
    "ChannelStore",
    "ColumnQuery",
    "CurrentMetric",
    "DataFormat",
    "DataMoved",
    "DeadLetter",
    "DeliveryAttempt",
    "DeliveryReader",
    "DeliveryStatus",
    "Disposition",
    "DroppedFuture",
    "EventId",
    "EventKind",
    "EventReader",
    "FutureLists",
    "FutureRemover",
    "HistoryCursor",
    "HourSamples",
    "KeptDay",
    "KeptPlace",
    "KeyScope",
    "Lease",
    "LeaseLost",
    "LimitReached",
    "ListReader",
    "ListStore",
    "LoggedEvent",
    "MarketRow",
    "MessageTest",
    "MessageTestStore",
    "MetricReading",
    "MetricSummary",
    "MinuteRange",
    "NewestSample",
    "NoAccess",
    "OpenedHour",
    "OtherFormat",
    "OtherPartitions",
    "Outbox",
    "OutboxEntry",
    "OutgoingMessage",
    "PastReads",
    "ProviderUsage",
    "QueuedMessage",
    "QuotaStore",
    "RankHistoryReader",
    "RankKey",
    "RankPlaces",
    "RateLimitStore",
    "Reader",
    "Receipt",
    "ReceiptStore",
    "RedisObserver",
    "ReplayStore",
    "RetryState",
    "RuleStore",
    "StoreAway",
    "StoreError",
    "StoredRuleSet",
    "TickUnit",
    "TooEarly",
    "TooManySamples",
    "TopReader",
    "TopWriter",
    "TrackedReader",
    "UnrankedMetric",
    "Unreadable",
    "UsageLimit",
    "Verifier",
    "VerifyReport",
    "WindowUsage",
    "Writer",
    "check_alert",
    "connect",
    "follow_replicas",
    "open_change_feed",
    "parse_alert",
    "parse_event_id",
    "put_change",
    "read_kept_day",
]
