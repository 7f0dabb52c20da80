"""
The address of a cluster: some of its nodes, of which the first that answers tells the others.

    redis://user:password@10.0.0.1:6379,10.0.0.2:6379,10.0.0.3:6379
"""

import re
from typing import NamedTuple

from .slot_table import Endpoint

DEFAULT_PORT = 6379
_FORM = re.compile(r"(?P<before>rediss?://(?:[^@/]*@)?)(?P<hosts>[^/?#]*)(?P<after>.*)", re.DOTALL)
_HOST = re.compile(r"(?P<host>\[[^\]]+\]|[^:]*)(?::(?P<port>\d+))?")


class Seeds(NamedTuple):
    """The nodes that an address names, and all else that it says, which is the same of each."""

    endpoints: tuple[Endpoint, ...]
    before: str
    after: str

    def make_address(self, endpoint: Endpoint) -> str:
        """Return the address of one node."""
        host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
        return f"{self.before}{host}:{endpoint.port}{self.after}"


def parse_seeds(address: str) -> Seeds | None:
    """Return the nodes that an address names; `None` of one that is no TCP address. Raises `ValueError`."""
    found = _FORM.fullmatch(address)
    if found is None:
        return None
    return Seeds(tuple(map(_parse_endpoint, found["hosts"].split(","))), found["before"], found["after"])


def _parse_endpoint(text: str) -> Endpoint:
    found = _HOST.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no host and port, such as 10.0.0.1:6379")
    return Endpoint(found["host"].strip("[]") or "localhost", int(found["port"] or DEFAULT_PORT))
