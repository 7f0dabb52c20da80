"""
What a worker may use of this version, and nothing else: whoever feeds another version finds the same names there.

    values      what is sampled: `Metric`, `Measure`, `Sample`, `Candle`; arithmetic with numbers as they are received
    market      how a tick moves a metric's state on, and how ranks follow: `advance_all`, `rank_all`; hours of candles
    rules       what rules and silences are and where they hold, files of rules, and the texts of messages
    backtest    what rules would have sent over samples that are over
    toplist     lists of providers, how they merge into the top list, and how a month's plan is counted
    settings    what both processes read from their environment, secrets hidden in texts, and where logs go
    store       Redis: `connect`, and who reads, writes, delivers, verifies, or forgets over that connection
    archive     SQL: `connect_archive`, who writes over that connection, and copies of the file

Errors: `StoreError` and its kinds of Redis, `OtherFormat` of its data, `ArchiveError` of SQL, `InvalidSettings`,
`InvalidDocument` and `InvalidFile` of rules.
"""

from . import __version__
from .archive import ArchiveError, connect_archive, copies
from .archive.toplist import TopArchiveWriter
from .archive.writer import ArchiveWriter
from .backtest import (
    CLOCK_UNKNOWN,
    BacktestInput,
    RulesNeverActive,
    Tick,
    make_report,
    make_ticks,
    make_variants,
    play,
)
from .market import candles, metric_state
from .market.advance import advance_all
from .market.candles import HourCandle
from .market.metric_state import PriorState, SourceReading, StateUpdate
from .market.ranks import collect_rank_inputs, rank_all
from .model import DAY, HOUR, MEASURES, MINUTE, Candle, Measure, Metric, Reading, Sample, find_hour
from .numbers import decimals, exact_json
from .numbers.chunks import split_into_chunks
from .numbers.times import format_iso, parse_iso
from .rules import (
    DEFAULTS,
    NO_RULES,
    Alert,
    InvalidDocument,
    Rule,
    RuleEngine,
    Severity,
    Silence,
    TickContext,
    attach_states,
)
from .rules.field_types import Seconds
from .rules.message_text import (
    MessageText,
    fit_body,
    is_in_digest,
    make_digest_id,
    make_link,
    shorten,
    sort_by_strength,
    write_digest,
    write_single,
)
from .rules.rule_set import RuleSet, read_rule_set
from .rules.rule_set import StoredRules as WrittenRules
from .rules.rule_set import write_document as write_rule
from .rules.rules_file import LARGEST as LARGEST_FILE
from .rules.rules_file import InvalidFile, read_rules, read_rules_file, read_toml
from .rules.validation import list_faults
from .settings import PREFIX, WITHOUT_FILES, InvalidSettings, Settings, WordList, split_words
from .settings.checks import check_key
from .settings.layers import list_written, name_file_setting
from .settings.logs import configure_logs
from .settings.redaction import find_secret_parts, redact
from .store import (
    LEASE_SECONDS,
    NEVER_TRIED,
    STATE_KEPT_SECONDS,
    AlertLimits,
    ChannelStore,
    DataFormat,
    DeliveryReader,
    DeliveryStatus,
    Disposition,
    FutureLists,
    FutureRemover,
    HourSamples,
    KeptDay,
    LeaseLost,
    ListStore,
    NoAccess,
    OtherFormat,
    Outbox,
    OutboxEntry,
    OutgoingMessage,
    QueuedMessage,
    QuotaStore,
    Reader,
    Receipt,
    ReceiptStore,
    RetryState,
    RuleStore,
    StoreAway,
    StoreError,
    TopWriter,
    Unreadable,
    Verifier,
    Writer,
    connect,
    read_kept_day,
)
from .store.snapshot import LoadedSnapshot, SnapshotClient, SnapshotStart
from .toplist.model import (
    ListOrigin,
    PricedCoin,
    ProviderList,
    RankedCoin,
    TopList,
    is_late_list,
    is_list_due,
    merge_lists,
)
from .toplist.quota import QuotaUsage, find_month_end, name_month

__all__ = [
    "CLOCK_UNKNOWN",
    "DAY",
    "DEFAULTS",
    "HOUR",
    "LARGEST_FILE",
    "LEASE_SECONDS",
    "MEASURES",
    "MINUTE",
    "NEVER_TRIED",
    "NO_RULES",
    "PREFIX",
    "STATE_KEPT_SECONDS",
    "WITHOUT_FILES",
    "Alert",
    "AlertLimits",
    "ArchiveError",
    "ArchiveWriter",
    "BacktestInput",
    "Candle",
    "ChannelStore",
    "DataFormat",
    "DeliveryReader",
    "DeliveryStatus",
    "Disposition",
    "FutureLists",
    "FutureRemover",
    "HourCandle",
    "HourSamples",
    "InvalidDocument",
    "InvalidFile",
    "InvalidSettings",
    "KeptDay",
    "LeaseLost",
    "ListOrigin",
    "ListStore",
    "LoadedSnapshot",
    "Measure",
    "MessageText",
    "Metric",
    "NoAccess",
    "OtherFormat",
    "Outbox",
    "OutboxEntry",
    "OutgoingMessage",
    "PricedCoin",
    "PriorState",
    "ProviderList",
    "QueuedMessage",
    "QuotaStore",
    "QuotaUsage",
    "RankedCoin",
    "Reader",
    "Reading",
    "Receipt",
    "ReceiptStore",
    "RetryState",
    "Rule",
    "RuleEngine",
    "RuleSet",
    "RuleStore",
    "RulesNeverActive",
    "Sample",
    "Seconds",
    "Settings",
    "Severity",
    "Silence",
    "SnapshotClient",
    "SnapshotStart",
    "SourceReading",
    "StateUpdate",
    "StoreAway",
    "StoreError",
    "Tick",
    "TickContext",
    "TopArchiveWriter",
    "TopList",
    "TopWriter",
    "Unreadable",
    "Verifier",
    "WordList",
    "Writer",
    "WrittenRules",
    "__version__",
    "advance_all",
    "attach_states",
    "candles",
    "check_key",
    "collect_rank_inputs",
    "configure_logs",
    "connect",
    "connect_archive",
    "copies",
    "decimals",
    "exact_json",
    "find_hour",
    "find_month_end",
    "find_secret_parts",
    "fit_body",
    "format_iso",
    "is_in_digest",
    "is_late_list",
    "is_list_due",
    "list_faults",
    "list_written",
    "make_digest_id",
    "make_link",
    "make_report",
    "make_ticks",
    "make_variants",
    "merge_lists",
    "metric_state",
    "name_file_setting",
    "name_month",
    "parse_iso",
    "play",
    "rank_all",
    "read_kept_day",
    "read_rule_set",
    "read_rules",
    "read_rules_file",
    "read_toml",
    "redact",
    "shorten",
    "sort_by_strength",
    "split_into_chunks",
    "split_words",
    "write_digest",
    "write_rule",
    "write_single",
]
