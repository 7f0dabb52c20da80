"""The only room that speaks SQL: an `ArchiveReader` for who asks, an `ArchiveWriter` for who feeds."""

from .engine import ArchiveAway, ArchiveError
from .engine import connect as connect_archive
from .reader import ArchiveReader, Form
from .toplist import TopArchiveReader

__all__ = ["ArchiveAway", "ArchiveError", "ArchiveReader", "Form", "TopArchiveReader", "connect_archive"]
