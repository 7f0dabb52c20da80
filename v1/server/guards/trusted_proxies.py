"""
Whom a proxy speaks for: the client's address, the scheme and the host that it was asked for.

Only a proxy that the settings name is believed, because anybody can send these headers. The chain of addresses is read
from its end: the first that is no proxy of ours is the client, and what stands before it may be invented.

    Forwarded             RFC 7239: `for=192.0.2.60;proto=https;host=example.org, for="[2001:db8::1]:4711"`
    X-Forwarded-For       `192.0.2.60, 198.51.100.7`
    X-Forwarded-Proto     `https`
    X-Forwarded-Host      `example.org`

Where both kinds are there and do not agree, one of them was written by the client: proxies set one kind and pass the
other on. What they do not agree on is not believed then, and the proxy itself counts as the client.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from starlette.types import ASGIApp, Receive, Scope, Send

from ..addresses import Network, is_in_networks, parse_node

MOST_REMEMBERED = 10_000
SCHEMES = {"http": ("http", "ws"), "https": ("https", "wss")}
"""What a scheme is called in a request, and in one for a WebSocket."""

_PAIR = re.compile(r'\s*([A-Za-z]+)=("(?:[^"\\]|\\.)*"|[^\s",;]*)\s*(?:([;,])|$)')
_HOST = re.compile(r"[A-Za-z0-9_.-]+(?::[0-9]{1,5})?|\[[0-9a-fA-F:.]+\](?::[0-9]{1,5})?")
_PLACES = {b"forwarded": 0, b"x-forwarded-for": 1, b"x-forwarded-proto": 2, b"x-forwarded-host": 3}

ToldHeaders = tuple[tuple[bytes, bytes], ...]
"""The headers of a proxy, as they came."""


class ForwardedHop(NamedTuple):
    """What one proxy said of who had asked it."""

    node: str
    scheme: str = ""
    host: str = ""


class ForwardedOrigin(NamedTuple):
    """Where a request came from. Scheme and host are empty where nobody said."""

    client: str
    scheme: str
    host: str


class TrustedProxies:
    """Puts the client that a proxy names in place of the proxy. Headers of anybody else are left alone, and unread."""

    def __init__(self, app: ASGIApp, networks: Iterable[Network]) -> None:
        self._app = app
        self._networks = tuple(networks)
        self._trusted: dict[str, bool] = {}
        self._origins: dict[tuple[str, ToldHeaders], ForwardedOrigin] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("client")
        if client and self.is_trusted(client[0]):
            told = tuple([header for header in scope["headers"] if header[0] in _PLACES])
            if told:
                self._apply(self.find_origin(client[0], told), scope)
        await self._app(scope, receive, send)

    def is_trusted(self, host: str) -> bool:
        """Return whether an address is that of a proxy that is believed."""
        known = self._trusted.get(host)
        if known is None:
            if len(self._trusted) >= MOST_REMEMBERED:
                self._trusted.clear()
            known = self._trusted[host] = is_in_networks(host, self._networks)
        return known

    def find_origin(self, peer: str, told: ToldHeaders) -> ForwardedOrigin:
        """Return where a request came from that the proxy `peer` has handed on."""
        origin = self._origins.get((peer, told))
        if origin is None:
            if len(self._origins) >= MOST_REMEMBERED:
                self._origins.clear()
            origin = self._origins[peer, told] = self._compute_origin(peer, told)
        return origin

    def _compute_origin(self, peer: str, told: ToldHeaders) -> ForwardedOrigin:
        forwarded, *others = _join_lines(told)
        chains = [parse_forwarded(forwarded)] if forwarded else []
        if any(others):
            chains.append(_join_hops(*others))
        found = [self._walk(peer, chain) for chain in chains]
        # One that names nobody says nothing against the other.
        first, *rest = [each for each in found if each.client != peer] or found or [ForwardedOrigin(peer, "", "")]
        if all(first == other for other in rest):
            return first
        return ForwardedOrigin(first.client if all(first.client == other.client for other in rest) else peer, "", "")

    def _walk(self, peer: str, hops: Sequence[ForwardedHop]) -> ForwardedOrigin:
        """Go from the proxy back along the chain, to the first address that is no proxy's."""
        origin = ForwardedOrigin(peer, "", "")
        for hop in reversed(hops):
            address = parse_node(hop.node)
            if address is None:
                # Hidden, or nonsense: whoever stands before it cannot be known.
                return origin._replace(scheme=hop.scheme or origin.scheme, host=hop.host or origin.host)
            origin = ForwardedOrigin(address, hop.scheme or origin.scheme, hop.host or origin.host)
            if not self.is_trusted(address):
                break
        return origin

    def _apply(self, origin: ForwardedOrigin, scope: Scope) -> None:
        if origin.client != scope["client"][0]:
            scope["client"] = (origin.client, 0)
        if origin.scheme:
            scope["scheme"] = SCHEMES[origin.scheme][scope["type"] == "websocket"]
        if origin.host:
            others = [header for header in scope["headers"] if header[0] != b"host"]
            scope["headers"] = [(b"host", origin.host.encode("ascii")), *others]


def parse_forwarded(text: str) -> list[ForwardedHop]:
    """Return the hops of a header `Forwarded`, the client's first; of one that cannot be read a hop of nobody."""
    hops, fields, at = [], {}, 0
    text = text.rstrip(" \t;,")
    while at < len(text):
        found = _PAIR.match(text, at)
        if found is None or found.end() == at:
            return [ForwardedHop("")]
        name, value, separator = found[1].lower(), found[2], found[3]
        fields[name] = re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
        if separator != ";":
            hops.append(_make_hop(fields.get("for", ""), fields.get("proto", ""), fields.get("host", "")))
            fields = {}
        at = found.end()
    return hops


def _join_hops(addresses: str, schemes: str, hosts: str) -> list[ForwardedHop]:
    """Return the hops of `X-Forwarded-For`; scheme and host are those that the last proxy told."""
    nodes = addresses.split(",") if addresses else []
    *earlier, last = [ForwardedHop(node) for node in nodes] or [ForwardedHop("")]
    return [*earlier, _make_hop(last.node, schemes.rpartition(",")[2].strip(), hosts.rpartition(",")[2].strip())]


def _make_hop(node: str, scheme: str, host: str) -> ForwardedHop:
    """Return a hop without what is no scheme and no host."""
    return ForwardedHop(
        node, scheme.lower() if scheme.lower() in SCHEMES else "", host if _HOST.fullmatch(host) else ""
    )


def _join_lines(told: ToldHeaders) -> list[str]:
    """Return the values of the four headers, lines of one name joined; empty where there is none."""
    found: list[list[str]] = [[] for _ in _PLACES]
    for name, value in told:
        found[_PLACES[name]].append(value.decode("latin-1"))
    return [", ".join(each) for each in found]
