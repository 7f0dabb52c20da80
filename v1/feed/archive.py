"""What writes SQL: the archive's connection, and who writes over it. Errors: `ArchiveError`."""

from ..archive import ArchiveError, connect_archive
from ..archive.partitions import PartitionLength
from ..archive.report import ArchiveReport, read_archive_report
from ..archive.toplist import TopArchiveWriter
from ..archive.writer import ArchiveWriter

__all__ = [
    "ArchiveError",
    "ArchiveReport",
    "ArchiveWriter",
    "PartitionLength",
    "TopArchiveWriter",
    "connect_archive",
    "read_archive_report",
]
