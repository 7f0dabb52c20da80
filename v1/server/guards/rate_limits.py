"""How much each client may ask for: requests and points, for each key, and for each address without one."""

from collections.abc import Awaitable, Callable
from math import ceil
from time import monotonic

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...model import MINUTE
from ...routes.access import CostTable, RateLimiter, Spending, is_counted
from ...routes.access.caller import CALLER
from ...routes.problems import make_quota_problem
from ..limits import identify_client
from ..middleware import find_route_path
from ..simple.heads import ADD_LINES
from .refusals import Refusals

NO_ADDRESS = "unix"
"""The client of a socket without addresses."""
MOST_ADDRESSES = 10_000
MOST_REMEMBERED = 4096
"""Questions whose points are remembered."""
UNCOUNTED = -1
"""Stands for the points of what no limit counts."""


class ClientLimits:
    """The limits of every client, by its key, or by its address where it has none."""

    def __init__(self, limiter: RateLimiter, note_refusal: Callable[[str], None]) -> None:
        """Have `note_refusal` called with the name of each limit that refuses a request."""
        self.limiter = limiter
        self._note_refusal = note_refusal
        self._clients: dict[str, str] = {}

    async def find_refusal(self, scope: Scope, key: str | None) -> Response | None:
        """Use one request; return the refusal where the limit does not allow it."""
        points = min(1, self.limiter.most_points)
        spent = await self.limiter.spend(self.identify(scope, key), points)
        return self.make_refusal(scope, spent) if spent.violated else None

    def identify(self, scope: Scope, key: str | None) -> str:
        """Return what a client is counted by."""
        if key is not None:
            return f"key {key}"
        address = scope.get("client")
        host = address[0] if address else NO_ADDRESS
        client = self._clients.get(host)
        if client is None:
            if len(self._clients) >= MOST_ADDRESSES:
                self._clients.clear()
            client = self._clients[host] = f"address {identify_client(host)}"
        return client

    def make_refusal(self, scope: Scope, spent: Spending) -> Response:
        """Return the refusal of what a limit did not allow."""
        for name in spent.violated:
            self._note_refusal(name)
        seconds = max(1, ceil(spent.wait))
        words = " and ".join(
            f"{each.amount} {each.name} in {each.seconds} seconds"
            for each in self.limiter.limits
            if each.name in spent.violated
        )
        detail = f"{words} are allowed, and fewer are left than this asks for; ask again in {seconds} seconds"
        refusal = make_quota_problem(scope["path"], detail, spent.violated, {"Retry-After": str(seconds)})
        refusal.raw_headers.extend(list_headers(spent.lines))
        return refusal


class RateLimits:
    """
    Counts requests, says in each answer what is left, and refuses what goes beyond.

    What an address asks for is remembered, for a minute at most, because ranges that end now grow.
    """

    def __init__(
        self,
        app: ASGIApp,
        limits: ClientLimits,
        costs: CostTable,
        refusals: Refusals,
        steady: Callable[[], float] = monotonic,
    ) -> None:
        """`steady` says seconds that only go forward."""
        self._app = app
        self._limits = limits
        self._limiter = limits.limiter
        self._costs = costs
        self._refusals = refusals
        self._steady = steady
        self._points: dict[tuple[str, bytes], int] = {}
        """How many points requests are about, by path and query."""
        self._points_until = 0.0

    # What is called is awaited by the caller: a coroutine in between would cost as much as the counting.
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer a request; see ASGI."""
        if scope["type"] == "lifespan":
            return self._app(scope, receive, send)
        points = self._points.get((scope["path"], scope["query_string"]))
        if points is None or self._steady() >= self._points_until:
            points = self._count_points(scope)
        if points == UNCOUNTED:
            return self._app(scope, receive, send)
        caller = scope.get(CALLER)
        client = self._limits.identify(scope, caller.id if caller else None)
        if (add_lines := scope.get("extensions", {}).get(ADD_LINES)) is None:
            return self._serve(client, points, scope, receive, send)
        lines = self._limiter.try_spend(client, points)
        if lines is None:
            return self._serve(client, points, scope, receive, send)
        add_lines(lines)
        return self._app(scope, receive, send)

    async def _serve(self, client: str, points: int, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that may have to wait for Redis, or whose head is not written by our server."""
        spent = await self._limiter.spend(client, points)
        if spent.violated:
            await self._refusals.send(self._limits.make_refusal(scope, spent), scope, receive, send)
            return
        if (add_lines := scope.get("extensions", {}).get(ADD_LINES)) is not None:
            add_lines(spent.lines)
            await self._app(scope, receive, send)
            return

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                # A copy: whoever sends it may send the same to others.
                message = {**message, "headers": [*message["headers"], *list_headers(spent.lines)]}
            await send(message)

        await self._app(scope, receive, send_counted)

    def _count_points(self, scope: Scope) -> int:
        """Return how many points a request is about, or that it is not counted, and remember it."""
        now = self._steady()
        if now >= self._points_until or len(self._points) >= MOST_REMEMBERED:
            self._points.clear()
            self._points_until = now + MINUTE
        path, query = find_route_path(scope), scope["query_string"]
        points = UNCOUNTED
        if is_counted(path):
            points = self._costs.count_points(path, query) if self._limiter.most_points else 0
        self._points[scope["path"], query] = points
        return points


def list_headers(lines: bytes) -> list[tuple[bytes, bytes]]:
    """Return the headers that stand in lines."""
    return [(name, value) for name, _, value in (line.partition(b": ") for line in lines.splitlines())]
