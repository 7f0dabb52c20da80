"""The version that the worker feeds, named in this one place: what it may use of it is stated in its `feed`."""

from v1.feed import *  # noqa: F403  # all that the contract states, and nothing else: its `__all__`
