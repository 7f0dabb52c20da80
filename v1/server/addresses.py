"""Addresses and networks of clients and proxies, as sockets, headers and settings write them."""

import re
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network

_NODE = re.compile(r"\[([0-9a-fA-F:.]+)\](?::[0-9]{1,5})?|([0-9.]+)(?::[0-9]{1,5})?|([0-9a-fA-F:.]+)")


def parse_network(text: str) -> Network:
    """Return an address or a network: `10.0.0.0/8`, `::1`. Raises `ValueError`."""
    return ip_network(text, strict=False)


def is_in_networks(host: str, networks: Sequence[Network]) -> bool:
    """Return whether an address, as a socket tells it, lies in one of some networks."""
    node = parse_node(host.partition("%")[0])
    return node is not None and any(ip_address(node) in network for network in networks)


def parse_node(text: str) -> str | None:
    """Return the address of `192.0.2.1:80`, `[2001:db8::1]:80` or `2001:db8::1`; `None` where it is none."""
    found = _NODE.fullmatch(text.strip())
    try:
        address = ip_address(found[1] or found[2] or found[3]) if found else None
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(address) if address else None
