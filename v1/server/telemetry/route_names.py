"""Finds the route of a path, for a metric's label: `/v1/metrics/{metric}/history` of any metric's history."""

from collections.abc import Callable, Iterable
from re import Pattern
from typing import NamedTuple

from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute

from ...routes.direct import DirectRoutes

UNKNOWN = "none"
"""The route of a path that leads nowhere. Such paths have no label of their own: anybody can make up any number."""


class NamedRoute(NamedTuple):
    """What a route matches, and how it is called."""

    pattern: Pattern[str]
    name: str


class RouteNames:
    """Finds the route of a path by what the application serves."""

    def __init__(
        self, list_routes: Callable[[], Iterable[BaseRoute]], root_path: str, latest: str, prefix: str
    ) -> None:
        """
        Know the routes that `list_routes` gives when the first path is looked for.

        What is below `latest` is the same as below `prefix`; a proxy may serve all of it below `root_path`.
        """
        self._list_routes = list_routes
        self._root_path = root_path
        self._latest = f"{latest}/"
        self._prefix = f"{prefix}/"
        self._routes: list[NamedRoute] = []

    def find(self, path: str) -> str:
        """Return the route of a path, or `none`."""
        if not self._routes:
            self._routes = [
                NamedRoute(route.path_regex, route.path_format or "")
                for route in iter_route_contexts([*self._list_routes()])
                if not isinstance(route.original_route, DirectRoutes)  # it stands for others that are listed
            ]
        if self._root_path and path.startswith(f"{self._root_path}/"):
            path = path.removeprefix(self._root_path)
        name = next((route.name for route in self._routes if route.pattern.match(path)), UNKNOWN)
        return self._prefix + name.removeprefix(self._latest) if name.startswith(self._latest) else name
