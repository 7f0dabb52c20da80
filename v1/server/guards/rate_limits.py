"""How much each client may ask for: requests and points, for each key, and for each address without one."""

from collections.abc import Callable
from math import ceil

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

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


class ClientLimits:
    """The limits of every client, by its key, or by its address where it has none."""

    def __init__(self, limiter: RateLimiter, note_refusal: Callable[[str], None]) -> None:
        """Have `note_refusal` called with the name of each limit that refuses a request."""
        self.limiter = limiter
        self._note_refusal = note_refusal
        self._clients: dict[str, str] = {}
        self._policy = (b"ratelimit-policy", limiter.policy)
        self._lines = b"ratelimit-policy: %s\r\nratelimit: " % limiter.policy

    async def find_refusal(self, scope: Scope, key: str | None) -> Response | None:
        """Use one request; return the refusal where the limit does not allow it."""
        points = min(1, self.limiter.most_points)
        client = self.identify(scope, key)
        spent = self.limiter.try_spend(client, points) or await self.limiter.spend(client, points)
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

    def list_headers(self, spent: Spending) -> list[tuple[bytes, bytes]]:
        """Return the headers that tell a client of its limits (draft-ietf-httpapi-ratelimit-headers-11)."""
        return [self._policy, (b"ratelimit", self.limiter.describe_remaining(spent))]

    def write_headers(self, spent: Spending) -> bytes:
        """Return these headers as they stand in the head of an answer."""
        return self._lines + self.limiter.describe_remaining(spent) + b"\r\n"

    def make_refusal(self, scope: Scope, spent: Spending) -> Response:
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
        refusal.raw_headers.extend(self.list_headers(spent))
        return refusal


class RateLimits:
    """Counts requests, says in each answer what is left, and refuses what goes beyond."""

    def __init__(self, app: ASGIApp, limits: ClientLimits, costs: CostTable, refusals: Refusals) -> None:
        self._app = app
        self._limits = limits
        self._limiter = limits.limiter
        self._costs = costs if limits.limiter.most_points else None
        self._refusals = refusals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or not is_counted(path := find_route_path(scope)):
            await self._app(scope, receive, send)
            return
        caller, limits, limiter = scope.get(CALLER), self._limits, self._limiter
        client = limits.identify(scope, caller.id if caller else None)
        points = self._costs.count_points(path, scope["query_string"]) if self._costs else 0
        spent = limiter.try_spend(client, points) or await limiter.spend(client, points)
        if spent.violated:
            await self._refusals.send(limits.make_refusal(scope, spent), scope, receive, send)
            return
        if (add_lines := scope.get("extensions", {}).get(ADD_LINES)) is not None:
            add_lines(limits.write_headers(spent))
            await self._app(scope, receive, send)
            return

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                # A copy: whoever sends it may send the same to others.
                message = {**message, "headers": [*message["headers"], *limits.list_headers(spent)]}
            await send(message)

        await self._app(scope, receive, send_counted)
