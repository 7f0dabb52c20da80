"""
What the API measures of itself, and the log of requests.

    instruments       the named counters, gauges and histograms that other parts of the server use
    statistics        what other parts count in plain attributes: answers kept in memory, streams
    request_counts    requests by route, method and status class: plain numbers, made into a metric when asked for
    route_names       a path's route
    request_identity  `X-Request-ID` and `traceparent`
    middleware        `RequestTelemetry`, the outermost layer of the application
    exposition        the text that Prometheus reads, of one process or of several
    siblings          the other processes of the same API, asked over Unix sockets
    endpoint          `GET /metrics`
"""

from .endpoint import make_metrics_router, open_metrics
from .instruments import ApiInstruments, ApiTelemetry
from .middleware import RequestTelemetry
from .siblings import ApiSiblings, find_folder

__all__ = [
    "ApiInstruments",
    "ApiSiblings",
    "ApiTelemetry",
    "RequestTelemetry",
    "find_folder",
    "make_metrics_router",
    "open_metrics",
]
