"""Redis: who reads, writes, verifies or forgets over a connection. Errors: `StoreError` and its kinds, `OtherFormat` of the data."""

from v1.feed.store import *
