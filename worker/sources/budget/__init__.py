"""
What may be asked of a provider, so that it never limits or bans us.

    terms      what each provider allows
    arithmetic how a request is claimed and settled: pure, the time is an argument
    provider   the budget that all processes draw on, in Redis; alone while Redis is away
"""

from .arithmetic import FLIGHT_SECONDS, Purpose
from .provider import BudgetSpent, MeteredCall, NoBudget, ProviderBudget, RequestBudget
from .terms import ALLOWANCE_UNIT, BINANCE, COINBASE, CRYPTOWATCH, KRAKEN, BudgetTerms

__all__ = [
    "ALLOWANCE_UNIT",
    "BINANCE",
    "COINBASE",
    "CRYPTOWATCH",
    "FLIGHT_SECONDS",
    "KRAKEN",
    "BudgetSpent",
    "BudgetTerms",
    "MeteredCall",
    "NoBudget",
    "ProviderBudget",
    "Purpose",
    "RequestBudget",
]
