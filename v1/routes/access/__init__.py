"""
Who may ask for what, and how much of it.

    caller     who asks, what a request wants to do, and what of it a key allows
    key_ring   all keys, in the memory of a process
    costs      how many points a question is about
    limiter    what a client has left of its limits
"""

from .caller import ANYBODY, METRIC_VIEW, VIEWS, Caller, find_wanted_scope, is_counted, is_page, read_caller
from .costs import CostTable
from .key_ring import NO_CREDENTIALS, Credentials, KeyRing, KeyState
from .limiter import POINTS, REQUESTS, RateLimiter, Spending, parse_usage_limit

__all__ = [
    "ANYBODY",
    "METRIC_VIEW",
    "NO_CREDENTIALS",
    "POINTS",
    "REQUESTS",
    "VIEWS",
    "Caller",
    "CostTable",
    "Credentials",
    "KeyRing",
    "KeyState",
    "RateLimiter",
    "Spending",
    "find_wanted_scope",
    "is_counted",
    "is_page",
    "parse_usage_limit",
    "read_caller",
]
