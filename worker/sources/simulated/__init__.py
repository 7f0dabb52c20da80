"""A made-up exchange, for demonstrations and tests: no network, no keys, any day at once."""

from worker.sources.simulated.source import Simulated

__all__ = ["Simulated"]
