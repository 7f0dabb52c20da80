"""Copies of the archive's file: where it is, how one is opened, and what it holds. Errors: `ArchiveError`."""

from ..archive.copies import (
    BESIDE,
    Contents,
    find_archive_file,
    format_tool_command,
    is_known_schema,
    open_view,
    read_copy,
)

__all__ = [
    "BESIDE",
    "Contents",
    "find_archive_file",
    "format_tool_command",
    "is_known_schema",
    "open_view",
    "read_copy",
]
