"""Limits of connections: their number, how long they may take, how large requests may be."""

import resource
from ipaddress import IPv6Address, ip_address
from typing import NamedTuple

from .addresses import Network

KEPT_BACK = 160
"""File descriptors for everything else: the databases' connections, the log, files that are served."""
_NETWORK_BITS = 64


class ConnectionLimits(NamedTuple):
    """The bounds of a server; sizes in bytes, times in seconds."""

    connections: int = 512
    client_connections: int = 128
    idle: float = 30
    """Between two requests."""
    request: float = 10
    """From a request's first byte to its last."""
    stalled: float = 20
    """In which `slowest` bytes of an answer must be taken."""
    slowest: int = 20_000
    head: int = 16 * 1024
    """Of a request line and headers."""
    body: int = 64 * 1024
    large_bodies: tuple[tuple[str, int], ...] = ()
    """Paths below a version, `/rule-set`, to which larger bodies may be sent, and how large."""
    proxies: tuple[Network, ...] = ()
    """Whose connections are of many clients: they may have as many as there are."""

    def find_largest_body(self, path: str) -> int:
        """Return how many bytes may be sent to a path, whatever a proxy has put in front of it."""
        return next((most for end, most in self.large_bodies if path.endswith(end)), self.body)


def count_connections(wished: int) -> int:
    """Return how many connections the file descriptors of this process allow, at most `wished`."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wished if allowed == resource.RLIM_INFINITY else max(1, min(wished, allowed - KEPT_BACK))


def identify_client(host: str) -> str:
    """Return what identifies a client by its address: the address, or of IPv6 its /64 network, which one client has whole."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if not isinstance(address, IPv6Address):
        return host
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(IPv6Address(int(address) >> _NETWORK_BITS << _NETWORK_BITS))
