"""How much each client may ask for: requests and points, for each key, and for each address without one."""

from collections.abc import Callable
from math import ceil

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...routes.access import POINTS, CostTable, RateLimiter, Spending, is_counted
from ...routes.access.caller import CALLER
from ...routes.problems import make_quota_problem
from ..limits import identify_client
from ..middleware import find_route_path
from .refusals import Refusals

NO_ADDRESS = "unix"
"""The client of a socket without addresses."""
MOST_ADDRESSES = 10_000


class ClientLimits:
    """The limits of every client, by its key, or by its address where it has none."""

    def __init__(self, limiter: RateLimiter, costs: CostTable, note_refusal: Callable[[str], None]) -> None:
        """Have `note_refusal` called with the name of each limit that refuses a request."""
        self.limiter = limiter
        self._note_refusal = note_refusal
        self._costs = costs
        self._clients: dict[str, str] = {}
        self._policy = (b"ratelimit-policy", limiter.policy)

    def try_spend(self, scope: Scope, key: str | None, points: int) -> Spending | None:
        """Use what a request costs of what is at hand; `None` where Redis has to be asked."""
        return self.limiter.try_spend(self.identify(scope, key), points)

    async def spend(self, scope: Scope, key: str | None, points: int) -> Spending:
        """Use what a request costs."""
        return await self.limiter.spend(self.identify(scope, key), points)

    async def find_refusal(self, scope: Scope, key: str | None) -> Response | None:
        """Use one request; return the refusal where the limit does not allow it."""
        points = min(1, self.limiter.most_points)
        spent = self.try_spend(scope, key, points) or await self.spend(scope, key, points)
        return self.make_refusal(scope, spent) if spent.violated else None

    def count_points(self, path: str, scope: Scope) -> int:
        """Return what a request costs, at most all of the limit."""
        return min(self._costs.count_points(path, scope["query_string"]), self.limiter.most_points)

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

    def __init__(self, app: ASGIApp, limits: ClientLimits, refusals: Refusals) -> None:
        self._app = app
        self._limits = limits
        self._refusals = refusals
        self._has_points = any(limit.name == POINTS for limit in limits.limiter.limits)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or not is_counted(path := find_route_path(scope)):
            await self._app(scope, receive, send)
            return
        caller, limits = scope.get(CALLER), self._limits
        key = caller.id if caller else None
        points = limits.count_points(path, scope) if self._has_points else 0
        spent = limits.try_spend(scope, key, points) or await limits.spend(scope, key, points)
        if spent.violated:
            await self._refusals.send(limits.make_refusal(scope, spent), scope, receive, send)
            return

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                # A copy: whoever sends it may send the same to others.
                message = {**message, "headers": [*message["headers"], *limits.list_headers(spent)]}
            await send(message)

        await self._app(scope, receive, send_counted)
