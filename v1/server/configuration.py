"""What the settings make of the server: its bounds, and what Hypercorn's part of it is told."""

import logging

from hypercorn.config import Config

from ..routes.request_body import LARGEST
from ..settings import Settings
from .limits import ConnectionLimits, count_connections

BACKLOG = 1024
"""Connections that may wait to be taken."""
GRACE_SECONDS = 5.0
"""How long a request that is being answered may take to end, once told to stop."""


def make_limits(settings: Settings) -> ConnectionLimits:
    """Return the bounds that the settings set, within what this process may open."""
    return ConnectionLimits(
        connections=count_connections(settings.connections),
        client_connections=settings.client_connections,
        idle=settings.idle_seconds,
        request=settings.request_seconds,
        head=settings.head_bytes,
        body=LARGEST,
    )


def make_server_config() -> Config:
    """Return what Hypercorn's part of the server is told."""
    config = Config()
    config.backlog = BACKLOG
    config.graceful_timeout = GRACE_SECONDS
    config.include_server_header = False
    config.errorlog = logging.getLogger("hypercorn.error")
    # It says at "info" where it runs, which has been said.
    config.errorlog.setLevel(logging.WARNING)
    return config
