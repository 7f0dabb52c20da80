"""Lists of providers, how they merge into the top list, what is kept of them, and how a month's plan is counted."""

from v1.feed.toplist import *
