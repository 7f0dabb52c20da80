"""The web pages that may open a WebSocket: browsers let any page do so, and say which one it is in `Origin`."""

import re
from typing import NamedTuple

_ORIGIN = re.compile(r"(https?)://(\[[0-9a-f:.]+\]|[^:/?#@\s]+)(:[0-9]{1,5})?")
ANY = "*"


class AcceptedPages(NamedTuple):
    """Pages beside those of the host that is asked."""

    hosts: tuple[str, ...] = ()
    """Whatever their port."""
    origins: tuple[str, ...] = ()
    """With scheme and port; `*`: any."""

    def is_accepted(self, origin: str, host: str | None) -> bool:
        """Return whether a page of an origin may ask, where it asks for `host`."""
        found = _ORIGIN.fullmatch(origin.lower())
        if not found:
            return ANY in self.origins
        is_own = host is not None and f"{found[2]}{found[3] or ''}" == host.lower()
        is_named = found[2].strip("[]") in self.hosts or origin.lower() in self.origins
        return is_own or is_named or ANY in self.origins
