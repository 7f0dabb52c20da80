"""How a tick moves a metric's state on, and how ranks follow from all states."""

from v1.feed.market import *
