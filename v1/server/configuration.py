"""The server's configuration, made of the settings: limits of connections, and Hypercorn's own."""

import logging

from hypercorn.config import Config

from ..routes.request_body import LARGER, LARGEST
from ..settings import Settings
from .addresses import parse_network
from .limits import ConnectionLimits, count_connections

BACKLOG = 1024
"""Connections that may wait to be taken."""
GRACE_SECONDS = 5.0
"""How long a request in progress may take after the order to stop."""


def make_limits(settings: Settings) -> ConnectionLimits:
    """Return the limits of one process: its share of the settings', within the file descriptors that it may open."""
    return ConnectionLimits(
        connections=count_connections(max(1, settings.connections // settings.api_processes)),
        client_connections=max(1, settings.client_connections // settings.api_processes),
        idle=settings.idle_seconds,
        request=settings.request_seconds,
        head=settings.head_bytes,
        body=LARGEST,
        large_bodies=LARGER,
        proxies=tuple(parse_network(each) for each in settings.trusted_proxies),
    )


def make_server_config() -> Config:
    """Return Hypercorn's configuration."""
    config = Config()
    config.backlog = BACKLOG
    config.graceful_timeout = GRACE_SECONDS
    config.include_server_header = False
    config.errorlog = logging.getLogger("hypercorn.error")
    # At level "info" it logs its address, which is logged already.
    config.errorlog.setLevel(logging.WARNING)
    return config
