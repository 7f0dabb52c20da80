"""Lists of providers, how they merge into the top list, what is kept of them, and how a month's plan is counted."""

from ..store import ListStore, QuotaStore, TopWriter
from ..toplist.model import (
    ListOrigin,
    PricedCoin,
    ProviderList,
    RankedCoin,
    TopList,
    is_late_list,
    is_list_due,
    merge_lists,
)
from ..toplist.quota import QuotaUsage, find_month_end, name_month

__all__ = [
    "ListOrigin",
    "ListStore",
    "PricedCoin",
    "ProviderList",
    "QuotaStore",
    "QuotaUsage",
    "RankedCoin",
    "TopList",
    "TopWriter",
    "find_month_end",
    "is_late_list",
    "is_list_due",
    "merge_lists",
    "name_month",
]
