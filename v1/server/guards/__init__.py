"""
What a request passes before an answer is looked for. Outermost first:

    TrustedProxies   whom a proxy of ours speaks for
    KeyGuard         API keys, and what each may do (401, 403)
    RateLimits       how much a client may ask for (429)

Each takes a few microseconds: what follows from a header is remembered by its value.
"""

from .api_keys import KeyGuard, make_body_check
from .rate_limits import ClientLimits, RateLimits
from .refusals import Refusals
from .trusted_proxies import TrustedProxies

__all__ = ["ClientLimits", "KeyGuard", "RateLimits", "Refusals", "TrustedProxies", "make_body_check"]
