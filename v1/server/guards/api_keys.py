"""API keys: who may ask, and what for."""

from collections.abc import Callable, Iterable
from http import HTTPStatus

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ...routes.access import NO_CREDENTIALS, Caller, Credentials, KeyRing, KeyState, find_wanted_scope, is_page
from ...routes.access.caller import CALLER, HARMLESS
from ...routes.problems import OPEN, RETRY_SECONDS, make_problem
from ..middleware import find_route_path
from .rate_limits import ClientLimits
from .refusals import Refusals

PREFLIGHT = b"access-control-request-method"
SCRIPTED = frozenset({(b"sec-fetch-dest", b"empty"), (b"x-requested-with", b"xmlhttprequest")})
"""
Headers, names and values in lower case, by which a script of a page asks: the first is the browser's own, and sent to
this machine and by HTTPS alone; the second is what scripts have sent for as long as there are any.
"""


Header = tuple[bytes, bytes]


def make_body_check(ring: KeyRing | None) -> Callable[[Iterable[Header]], bool]:
    """Return what says of the headers of a request whether a large document of its client may be read: by its key."""

    return lambda headers: ring is None or ring.can_change_rules(_find_credentials(headers))


def _find_credentials(headers: Iterable[Header]) -> Credentials:
    authorization = header = b""
    for name, value in headers:
        if name == b"authorization":
            authorization = value
        elif name == b"x-api-key":
            header = value
    return authorization, header


class KeyGuard:
    """
    Refuses requests without a key: `Authorization: Bearer KEY`, `X-API-Key: KEY`, or as the password of Basic.

    Basic, because a browser asks for that one by itself, and then has it for the documentation and the page too. The
    live page and its files are sent without a key, since it asks for one itself; its own questions, and those of other
    scripts, are refused without mention of Basic, since the browser would open its dialog above the page's form.
    Whoever is refused for want of a key uses the limit of the address, so that keys cannot be tried without end.
    """

    def __init__(
        self, app: ASGIApp, ring: KeyRing, refusals: Refusals, limits: ClientLimits | None, *, has_cors: bool
    ) -> None:
        """`has_cors`: pages of some origins may ask. Their browsers ask first whether they may, without a key."""
        self._app = app
        self._ring = ring
        self._refusals = refusals
        self._limits = limits
        self._has_cors = has_cors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        credentials = _find_credentials(scope["headers"])
        caller = self._ring.identify(credentials) if credentials != NO_CREDENTIALS else KeyState.UNKNOWN
        if isinstance(caller, Caller) and scope.get("method", "GET") in HARMLESS:
            scope[CALLER] = caller
            await self._app(scope, receive, send)
        elif (refusal := await self._find_refusal(scope, caller)) is None:
            await self._app(scope, receive, send)
        else:
            await self._refusals.send(refusal, scope, receive, send)

    async def _find_refusal(self, scope: Scope, caller: Caller | KeyState) -> Response | None:
        """Return why a request is refused, or `None` where it is not."""
        path = find_route_path(scope)
        if isinstance(caller, Caller):
            scope[CALLER] = caller
            return _refuse_beyond_scope(scope, path, caller)
        if path.startswith(OPEN) or (self._has_cors and _is_preflight(scope)) or _is_page_asked(scope, path):
            return None
        if caller is KeyState.UNSURE:
            detail = f"the keys cannot be read, so this one is not known; ask again in {RETRY_SECONDS} seconds"
            headers = {"Retry-After": str(RETRY_SECONDS)}
            return make_problem(scope["path"], HTTPStatus.SERVICE_UNAVAILABLE, detail, headers=headers)
        exceeded = await self._limits.find_refusal(scope, None) if self._limits else None
        return exceeded or _refuse_without_key(scope)


def _refuse_beyond_scope(scope: Scope, path: str, caller: Caller) -> Response | None:
    wanted = find_wanted_scope(scope.get("method", "GET"), path)
    if caller.scope.can_act_as(wanted):
        return None
    return make_problem(
        scope["path"],
        HTTPStatus.FORBIDDEN,
        f"the key {caller.id} of {caller.name!r} has the scope {caller.scope}; this needs the scope {wanted}",
        headers={"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{wanted}"'},
    )


def _refuse_without_key(scope: Scope) -> Response:
    refusal = make_problem(
        scope["path"],
        HTTPStatus.UNAUTHORIZED,
        "a key is wanted: Authorization: Bearer KEY, or X-API-Key: KEY",
        headers={"WWW-Authenticate": "Bearer"},
    )
    if not any((name, value.lower()) in SCRIPTED for name, value in scope["headers"]):
        # A header of its own: Chromium does not ask its user for the second of two in one.
        refusal.headers.append("WWW-Authenticate", 'Basic realm="key as the password", charset="UTF-8"')
    return refusal


def _is_page_asked(scope: Scope, path: str) -> bool:
    return scope.get("method") in HARMLESS and is_page(path)


def _is_preflight(scope: Scope) -> bool:
    return scope.get("method") == "OPTIONS" and any(name == PREFLIGHT for name, _ in scope["headers"])
