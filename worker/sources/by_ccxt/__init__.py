"""
Exchanges that the library ccxt knows, each as a source of its own: `ccxt:bitstamp`. ccxt is the extra `ccxt`.

    library   finds ccxt's class of an exchange, and says what it can
    requests  sends ccxt's requests: through our session, within our budget, every number as its text
    refusals  what ccxt's errors are here
    rows      what is read of ccxt's markets, tickers and candles: pure
    source    the source
"""

from .library import CcxtMissing, ExchangeFacts, describe_exchange, has_ccxt
from .source import CcxtSource, plan_groups

__all__ = ["CcxtMissing", "CcxtSource", "ExchangeFacts", "describe_exchange", "has_ccxt", "plan_groups"]
