"""Alerts on their way to people, in Redis: what is to send, what was tried, and who must acknowledge."""

from v1.feed.delivery import *
