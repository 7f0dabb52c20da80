"""
What of a provider's plan is used, and when its month ends; kept, so that a restart does not forget it.
The worker plans how much of it may be used.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple


class QuotaUsage(NamedTuple):
    """What one provider was asked, and what came of it. Times are unix seconds, 0 for never."""

    month: str = ""
    """The month that is counted, UTC: `2021-05`."""
    spent: int = 0
    """Credits or calls of that month; what was asked and never answered counts."""
    minute: int = 0
    calls: int = 0
    """Calls in that minute."""
    charged: int = 0
    """What the provider last charged for an asking; 0 while it did not say."""
    asked: int = 0
    """The newest minute it was asked for."""
    good: int = 0
    """The newest minute it gave a list for."""
    failures: int = 0
    """How often in a row it gave none."""
    until: int = 0
    """It is not asked before."""
    reason: str = ""
    """Why it gave no list when it was asked last."""
    faults: Mapping[str, int] = {}
    """How often it gave none this month, by reason."""
    terms: str = ""
    """With which key and by which plan it was asked, see `worker/top/budget.py`."""


def write_usage(use: QuotaUsage) -> str:
    return json.dumps(use._asdict(), separators=(",", ":"))


def read_usage(written: str | None) -> QuotaUsage:
    """Read what `write` wrote; of nothing, or something else, the use of a plan that was never used."""
    try:
        return QuotaUsage() if written is None else QuotaUsage(**json.loads(written))
    except (TypeError, ValueError):
        return QuotaUsage()


def name_month(at: int) -> str:
    """Return the month that `at` is counted in: `2021-05`."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m")


def find_month_end(at: int) -> int:
    """Return the first second of the next month."""
    day = datetime.fromtimestamp(at, UTC)
    return int(datetime(day.year + day.month // 12, day.month % 12 + 1, 1, tzinfo=UTC).timestamp())
