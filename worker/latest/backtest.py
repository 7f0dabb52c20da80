"""What rules would have sent over samples that are over. Errors: `RulesNeverActive`."""

from v1.feed.backtest import *
