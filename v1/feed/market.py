"""How a tick moves a metric's state on, and how ranks follow from all states."""

from ..market.advance import advance_all
from ..market.candles import HourCandle
from ..market.exchange_hours import ExchangeHour
from ..market.freshness import Freshness
from ..market.market_note import FeedAnswer, MarketNote
from ..market.metric_state import (
    SourceReading,
    StateUpdate,
    compute_change_percentage,
    compute_interval_return,
)
from ..market.ranks import collect_rank_inputs, rank_all
from ..market.replayed import ReplayMark

__all__ = [
    "ExchangeHour",
    "FeedAnswer",
    "Freshness",
    "HourCandle",
    "MarketNote",
    "ReplayMark",
    "SourceReading",
    "StateUpdate",
    "advance_all",
    "collect_rank_inputs",
    "compute_change_percentage",
    "compute_interval_return",
    "rank_all",
]
