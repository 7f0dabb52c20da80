"""The sockets that the server listens at: one, or one for each of several processes at the same port."""

import os
import socket
from typing import cast

from .configuration import BACKLOG

HIGHEST_PORT = 65535

Bound = tuple[str, int]


class NoSharedPorts(Exception):
    """This system cannot spread the connections of one port over several sockets."""


def listen(bind: str) -> socket.socket:
    """Return a socket that listens at `host:port`. Raises `OSError`, and knows the port that 0 became."""
    host, _, port = bind.rpartition(":")
    if int(port) > HIGHEST_PORT:
        # getaddrinfo would take what is left of it after 65536 is taken out.
        raise OSError(f"a port is a number from 0 to {HIGHEST_PORT}")
    (family, _, _, _, address), *_ = socket.getaddrinfo(
        host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    return _send_at_once(socket.create_server(cast("Bound", address[:2]), family=family, backlog=BACKLOG))


def listen_together(bind: str, count: int) -> list[socket.socket]:
    """Return `count` sockets that listen at one address. Raises `OSError`, or `NoSharedPorts` where it takes more than one."""
    alone = listen(bind)
    if count == 1:
        return [alone]
    # A port where somebody listens would be shared without a word: who asks for it alone is refused, and finds one for 0.
    with alone:
        address, family = alone.getsockname()[:2], alone.family
    return [listen_shared(address, family) for _ in range(count)]


def listen_shared(address: Bound, family: int) -> socket.socket:
    """Return one more socket at an address whose sockets are all made by this. Raises `OSError` or `NoSharedPorts`."""
    if not hasattr(socket, "SO_REUSEPORT"):
        raise NoSharedPorts
    return _send_at_once(socket.create_server(address, family=family, backlog=BACKLOG, reuse_port=True))


def _send_at_once(listener: socket.socket) -> socket.socket:
    """
    Have what is written to the clients of a socket sent at once; they have the option from it.

    A body that follows its head would wait for the client's word that it has the head, which comes after 40 ms. uvloop
    sets it by itself; asyncio's own loop only where the protocol of the socket was named when it was made.
    """
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def count_cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
