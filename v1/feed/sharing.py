"""What several workers that share one divided store leave for each other in it."""

from ..store.failover import describe_slow_failover, find_longest_node_timeout
from ..store.places import get_places
from ..store.sharing.agreement import (
    IntervalDiffers,
    describe_own_interval,
    list_disagreements,
    name_worker,
    refuse_other_interval,
    shorten_settings,
)
from ..store.sharing.gathering import (
    PUBLISHED,
    PartitionReport,
    PartitionResult,
    merge_reports,
    report_partition,
)
from ..store.sharing.home_writer import HomeWriter
from ..store.sharing.members import Members, WorkerNote, list_free
from ..store.sharing.partition_leases import PartitionLeases
from ..store.sharing.partition_writer import PartitionUnit, PartitionWriter
from ..store.sharing.readings_log import DueTicks, find_kept_seconds
from ..store.sharing.share_leases import ShareLeases
from ..store.sharing.shares import divide_sources, find_lease_seconds, list_wished
from ..store.sharing.source_answer import SourceAnswer
from ..store.sharing.source_turns import SourceTurn, SourceTurns, open_source_leases
from ..store.sharing.tick_readings import CommonEvidence, PartitionReadings, TickReadings

__all__ = [
    "PUBLISHED",
    "CommonEvidence",
    "DueTicks",
    "HomeWriter",
    "IntervalDiffers",
    "Members",
    "PartitionLeases",
    "PartitionReadings",
    "PartitionReport",
    "PartitionResult",
    "PartitionUnit",
    "PartitionWriter",
    "ShareLeases",
    "SourceAnswer",
    "SourceTurn",
    "SourceTurns",
    "TickReadings",
    "WorkerNote",
    "describe_own_interval",
    "describe_slow_failover",
    "divide_sources",
    "find_kept_seconds",
    "find_lease_seconds",
    "find_longest_node_timeout",
    "get_places",
    "list_disagreements",
    "list_free",
    "list_wished",
    "merge_reports",
    "name_worker",
    "open_source_leases",
    "refuse_other_interval",
    "report_partition",
    "shorten_settings",
]
