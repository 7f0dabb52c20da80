"""Keeps requests out of private networks: a name is resolved once, checked, and the checked address is connected to."""

import asyncio
import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from aiohttp.abc import AbstractResolver, ResolveResult

_NAT64 = IPv6Network("64:ff9b::/96")
"""NAT64: the last 32 bits are an IPv4 address (RFC 6052)."""


class PrivateAddress(OSError):
    """An address that is not on the internet; the message names it."""


class PublicResolver(AbstractResolver):
    """Resolves names; raises `PrivateAddress` where one of the addresses is not on the internet."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
        addresses = [(of, str(address[0])) for of, _, _, _, address in found]
        for _, address in addresses:
            check_address(host, address)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=of,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for of, address in addresses
        ]

    async def close(self) -> None:
        """Do nothing: no resources are held."""


def check_address(host: str, address: str) -> None:
    """Raise `PrivateAddress` where an address is not public."""
    if not is_public(address):
        named = address if host == address else f"{host} is {address}, which"
        raise PrivateAddress(f"{named} is not on the internet")


def check_literal(host: str) -> None:
    """Check a host that is an address, which is not resolved. Raises `PrivateAddress`."""
    try:
        ip_address(host)
    except ValueError:
        return
    check_address(host, host)


def is_public(address: str) -> bool:
    """Return whether an address is public, also where it is an IPv4 address embedded in an IPv6 one."""
    ip: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo or (None, None))[1]
        if ip in _NAT64:
            inner = IPv4Address(int(ip) & 0xFFFFFFFF)
        ip = inner or ip
    return ip.is_global and not ip.is_multicast
