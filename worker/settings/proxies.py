"""Through which HTTP proxy an address is reached: the one of the settings, or the environment's. Nothing is connected here."""

from collections.abc import Mapping
from typing import NamedTuple, Self
from urllib.parse import urlsplit
from urllib.request import getproxies_environment

SCHEMES = ("http", "https")
_HERE = ("localhost", "127.0.0.1", "::1")
"""What no proxy can reach for us."""


class ProxySettings(NamedTuple):
    """
    The proxies there are. `NO_PROXY` names the hosts that are reached without one, whichever it is.

    An address of a proxy may hold a password: it goes to aiohttp, and `shown` into logs.
    """

    given: str | None
    """The setting's; it wins."""
    environment: Mapping[str, str]
    """By scheme, as `HTTPS_PROXY`, `HTTP_PROXY` and `ALL_PROXY` name them; `no` are the hosts without one."""

    @classmethod
    def read(cls, given: str | None) -> Self:
        """Read the environment beside what the setting says."""
        return cls(given, getproxies_environment())

    def find_proxy(self, address: str) -> str | None:
        """Return the proxy for an address; `None` where it is reached directly."""
        url = urlsplit(address)
        if url.hostname is None or url.hostname in _HERE:
            return None
        if _is_direct(url.hostname, url.netloc.rpartition("@")[2], self.environment.get("no", "")):
            return None
        found = self.given or self.environment.get(url.scheme) or self.environment.get("all")
        if not found:
            return None
        proxy = found if "://" in found else f"http://{found}"
        return proxy if urlsplit(proxy).scheme in SCHEMES else None

    @property
    def unusable(self) -> list[str]:
        """Name the variables whose proxy is of a kind that we do not speak, as socks5."""
        return [
            f"{scheme.upper()}_PROXY"
            for scheme, proxy in sorted(self.environment.items())
            if scheme in (*SCHEMES, "all") and "://" in proxy and urlsplit(proxy).scheme not in SCHEMES
        ]


def _is_direct(host: str, with_port: str, listed: str) -> bool:
    """Return whether `NO_PROXY` names a host: itself, with its port, a domain that it is of, or all there are."""
    names = [name.strip().lower().removeprefix("*").removeprefix(".") for name in listed.split(",") if name.strip()]
    return any(name in ("", host, with_port.lower()) or host.endswith(f".{name}") for name in names)


def show_proxy(proxy: str) -> str:
    """Return a proxy's host and port, without who we are to it."""
    return urlsplit(proxy).netloc.rpartition("@")[2]


def is_proxy(address: str) -> bool:
    """Return whether an address can be a proxy's."""
    try:
        url = urlsplit(address)
        return url.scheme in SCHEMES and bool(url.hostname) and url.port != 0
    except ValueError:
        return False
