"""What both processes read from their environment, secrets hidden in texts, and where logs go. Errors: `InvalidSettings`."""

from v1.feed.settings import *
