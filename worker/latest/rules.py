"""What rules and silences are, where they hold, and files of rules. Errors: `InvalidDocument`, `InvalidFile`."""

from v1.feed.rules import *
