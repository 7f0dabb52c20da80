"""What writes SQL: the archive's connection, and who writes over it. Errors: `ArchiveError`."""

from ..archive import ArchiveAway, ArchiveError, connect_archive
from ..archive.engine import ArchiveBusy, ArchiveFull
from ..archive.extensions import TableLayout
from ..archive.ordering import OrderingProgress, OrderingStep, PartitionOrderer
from ..archive.partitions import PartitionLength
from ..archive.report import ArchiveReport, read_archive_report
from ..archive.toplist import TopArchiveWriter
from ..archive.writer import ArchiveWriter

__all__ = [
    "ArchiveAway",
    "ArchiveBusy",
    "ArchiveError",
    "ArchiveFull",
    "ArchiveReport",
    "ArchiveWriter",
    "OrderingProgress",
    "OrderingStep",
    "PartitionLength",
    "PartitionOrderer",
    "TableLayout",
    "TopArchiveWriter",
    "connect_archive",
    "read_archive_report",
]
