"""
What the worker measures of itself, and where Prometheus reads it.

    instruments   counters and histograms that the parts of the worker write into
    states        metrics made of what the parts know, when somebody asks: sources, archive, channels, quotas
    server        `GET /metrics` at an address of its own
"""

from .instruments import WorkerInstruments, make_instruments
from .server import CannotListen, serve_metrics

__all__ = ["CannotListen", "WorkerInstruments", "make_instruments", "serve_metrics"]
