"""What writes SQL: the archive's connection, and who writes over it. Errors: `ArchiveError`."""

from v1.feed.archive import *
