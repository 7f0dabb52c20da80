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
from ..market.price_ranges import PriceRange, add_ranges, make_range
from ..market.replayed import ReplayMark
from ..market.slot_marking import TickEvidence, mark_slots
from ..market.slots import STATES, SlotMark, SlotReason, SlotState

__all__ = [
    "STATES",
    "ExchangeHour",
    "FeedAnswer",
    "Freshness",
    "HourCandle",
    "MarketNote",
    "PriceRange",
    "ReplayMark",
    "SlotMark",
    "SlotReason",
    "SlotState",
    "SourceReading",
    "StateUpdate",
    "TickEvidence",
    "add_ranges",
    "advance_all",
    "compute_change_percentage",
    "compute_interval_return",
    "make_range",
    "mark_slots",
]
