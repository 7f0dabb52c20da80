"""Where a node of a cluster listens."""

from typing import NamedTuple, Self

BUS_DISTANCE = 10_000
"""How far above its port a node listens to the other nodes, unless it is told otherwise."""


class NodeAddress(NamedTuple):
    """Where a node listens to clients, and at which port to the other nodes."""

    host: str
    port: int
    bus_port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the address that is written as `host:port` or `host:port@bus port`. Raises `ValueError`."""
        place, _, bus = text.partition("@")
        host, _, port = place.rpartition(":")
        if not host or not port.isdecimal() or (bus and not bus.isdecimal()):
            raise ValueError(f"{text!r} is no node: must be host:port or host:port@bus-port")
        return cls(host, int(port), int(bus) if bus else int(port) + BUS_DISTANCE)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"
