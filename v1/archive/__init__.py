"""The only room that speaks SQL: an `ArchiveReader` for who asks, an `ArchiveWriter` for who feeds."""

from .engine import ArchiveAway, ArchiveError
from .engine import connect_archive as connect_archive
from .reader import ArchiveReader, RowFormat
from .toplist import TopArchiveReader

__all__ = ["ArchiveAway", "ArchiveError", "ArchiveReader", "RowFormat", "TopArchiveReader", "connect_archive"]
