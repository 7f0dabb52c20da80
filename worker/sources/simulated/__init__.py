"""A made-up exchange, for demonstrations and tests: no network, no keys, any day at once."""

from worker.sources.simulated.source import SimulatedSource

__all__ = ["SimulatedSource"]
