"""The texts of alerts as people read them, one by one and as a digest."""

from v1.feed.messages import *
