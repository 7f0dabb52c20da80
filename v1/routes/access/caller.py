"""Who asks, as the guards in front of the routes have found out, and which scope a request needs."""

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from ...store import KeyScope

HARMLESS = ("GET", "HEAD", "OPTIONS")
"""Methods that change nothing."""
CALLER = "caller"
"""Where the guards put it in the scope of a request."""
BACKTEST = ("rules", "backtest")
RULE_SUBJECTS = ("rules", "rule-set", "silences", "alerts")
VIEWS = ("/", "/alerts", "/rules", "/top", "/status")
"""Addresses of the live page, which is one document; beside them that of each metric."""
METRIC_VIEW = "/m/"
PAGE_FILES = "/page/"
UNCOUNTED = ("/health/", "/metrics", PAGE_FILES, METRIC_VIEW, "/docs", "/redoc")
"""How the paths begin of what no limit counts: the watch over the process, and the files of pages."""


class Caller(NamedTuple):
    """Who asks."""

    id: str | None
    """The id of a key that was made; of a key of the settings its place there, `settings-1`; without a key `None`."""
    name: str | None
    """Whose key it is."""
    scope: KeyScope
    until: int | None
    """When the key ends, unix seconds."""
    is_made: bool
    """Whether the key is one of those in Redis, which may be revoked."""


ANYBODY = Caller(None, None, KeyScope.ADMIN, None, is_made=False)
"""Who asks where no key is needed."""


def read_caller(scope: Mapping[str, Any]) -> Caller:
    """Return who sent a request."""
    return cast("Caller", scope.get(CALLER, ANYBODY))


def find_wanted_scope(method: str, path: str) -> KeyScope:
    """Return the scope that a request needs; `path` is without the one of a proxy. What is not known needs all."""
    if method in HARMLESS:
        return KeyScope.READ
    below = path.split("/")[2:]
    if method == "POST" and tuple(below) == BACKTEST:
        return KeyScope.READ
    return KeyScope.RULES if below[:1] and below[0] in RULE_SUBJECTS else KeyScope.ADMIN


def is_counted(path: str) -> bool:
    """Return whether a request for a path counts to the limits of who sends it."""
    return path not in VIEWS and not path.startswith(UNCOUNTED)


def is_page(path: str) -> bool:
    """Return whether a path is that of the live page, or of a file of it: the same for everybody, and without numbers."""
    return path in VIEWS or path.startswith((PAGE_FILES, METRIC_VIEW))
