"""Whether a list that was read without a fault can be true. Pure: the lists and the time are arguments."""

from typing import Any

from worker.latest import HOUR
from worker.latest.toplist import ProviderList

AHEAD_SECONDS = 600
"""How far a list may be dated ahead of our clock."""
SLACK_SECONDS = 600
"""How much older than the one before it a list may be whose date follows from its coins: the newest of them may differ."""
SHARED = (1, 2)
"""The part of the coins that two lists must share, of the shorter one."""


def find_fault(
    listing: ProviderList[Any], kept: ProviderList[Any] | None, other: ProviderList[Any] | None, *, is_dated: bool
) -> str | None:
    """
    Return why the list that was kept before is better than this one, or `None`.

    `other` is the newest list of the other provider. `is_dated` says that the provider dates its lists, as against a
    date that is the newest among the coins'.
    """
    date_fault = _date_fault(listing) if is_dated else None
    age_fault = _age_fault(listing, kept, 0 if is_dated else SLACK_SECONDS)
    return date_fault or age_fault or _coins_fault(listing, kept, other)


def _date_fault(listing: ProviderList[Any]) -> str | None:
    told, at = listing.about.provider_time, listing.about.at
    if told is not None and told > at + AHEAD_SECONDS:
        return f"its list is dated {told - at} s in the future"
    oldest = max(HOUR, 2 * listing.about.interval)
    if told is not None and told < at - oldest:
        return f"its list is dated {at - told} s ago, and {oldest} s are the most"
    return None


def _age_fault(listing: ProviderList[Any], kept: ProviderList[Any] | None, slack: int) -> str | None:
    if kept is None:
        return None
    for dated in (_read_date, _newest_price):
        told, before = dated(listing), dated(kept)
        if told is not None and before is not None and told < before - slack:
            return f"its list is {before - told} s older than the one before it"
    return None


def _read_date(listing: ProviderList[Any]) -> int | None:
    """Return when a list was made; a date ahead of our clock says nothing of the lists after it."""
    told = listing.about.provider_time
    return told if told is not None and told <= listing.about.at + AHEAD_SECONDS else None


def _newest_price(listing: ProviderList[Any]) -> int | None:
    """Return when the newest price of a list is from; `None` of a list without dated prices."""
    times = [getattr(coin, "time", None) for coin in listing.coins]
    latest = listing.about.at + AHEAD_SECONDS
    return max([time for time in times if time is not None and time <= latest], default=None)


def _coins_fault(
    listing: ProviderList[Any], kept: ProviderList[Any] | None, other: ProviderList[Any] | None
) -> str | None:
    """
    Say that a list names other coins than the other provider's does, where the kept one fits that better.

    So a bad list that was taken at first, when there was nothing to hold it against, does not keep the good ones out.
    """
    against = other or kept
    if kept is None or against is None:
        return None
    (shared, of), (before, of_before) = _count_shared(listing, against), _count_shared(kept, against)
    part, whole = SHARED
    if shared * whole >= of * part or before * of <= shared * of_before:
        return None
    return f"its list shares {shared} of {of} coins with the {'other provider' if other else 'list before it'}"


def _count_shared(one: ProviderList[Any], other: ProviderList[Any]) -> tuple[int, int]:
    """Return how many coins two lists share, and of how many: those of the shorter list that have an id."""
    ids, others = ({coin.id for coin in each.coins if coin.id is not None} for each in (one, other))
    return len(ids & others), min(len(ids), len(others))
