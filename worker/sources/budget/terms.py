"""What providers allow, of which part of it is used. Pure: numbers alone."""

from typing import NamedTuple

MOST_PERCENT = 95
"""Percent of a limit that are used at most: what is left over is for clocks, and for what a provider counts otherwise."""
WHOLE = 100
ALLOWANCE_UNIT = 10**6
"""Units of one credit of Cryptowatch, whose calls cost thousandths of it."""


class BudgetTerms(NamedTuple):
    """What a provider allows, and which part of it is ours."""

    unit: str
    """What is counted: `weight`, `calls` or `credits`."""
    amount: int = 0
    """Units in `seconds`; 0: the provider says in its answers what is left."""
    seconds: int = 60
    spacing: float = 0.0
    """Seconds that what fills the past waits after any other request. Ticks do not: they are few, and must not be late."""
    percent: int = MOST_PERCENT
    """How much of it is used."""
    tick_percent: int = 0
    """How much of what is used is kept for ticks: what fills the past leaves it alone."""
    scale: int = 1
    """Units that make one of what people are shown."""

    @property
    def cap(self) -> int:
        """Units in `seconds` that are used at most."""
        return self.amount * self.percent // WHOLE

    @property
    def fill_cap(self) -> int:
        """Units in `seconds` beyond which only ticks ask."""
        return self.cap * (WHOLE - self.tick_percent) // WHOLE

    @property
    def distance(self) -> float:
        """Seconds that what fills the past waits after a request, with the margin."""
        return self.spacing * WHOLE / self.percent

    def take_percent(self, percent: int) -> "BudgetTerms":
        """Return the terms of whoever uses so many percent of this limit."""
        return self._replace(percent=min(percent, MOST_PERCENT))


BINANCE = BudgetTerms("weight", amount=6000, tick_percent=37)
"""
Weight a minute of one address, as `exchangeInfo` says it. A tick of 1,000 symbols takes up to 2,080 (35 %), and two ticks
may lie within a minute.
"""
KRAKEN = BudgetTerms("calls", amount=70, spacing=1.0, tick_percent=10)
"""
Kraken does not publish its limit of public calls for one address; its clients send about one a second, and it bears a few
at once. So what fills the past sends one a second, and a tick every second beside it has its place.
"""
COINBASE = BudgetTerms("calls", amount=600, spacing=0.3, tick_percent=65)
"""Ten requests a second of one address. A tick of as many markets as there may be sends six a second."""
CRYPTOWATCH = BudgetTerms("credits", tick_percent=25, scale=ALLOWANCE_UNIT)
"""Each answer says what its call cost and what is left of the allowance; it is renewed, at the latest after a day."""
