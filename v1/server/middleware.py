"""
The middleware of every route, plain ASGI. Outermost first:

    TrustedProxies   see `guards`, as all that is only named here
    RootPath         the path below which a proxy serves everything
    HostGuard        the `Host` header (421), and the `Origin` of what changes something (403)
    KeyGuard
    RateLimits
    AnswerCache      see `answers`: sends what is kept; all that follows is part of what it keeps
    SecurityHeaders  headers of every answer: no frames, no guessing of types
    RelativeRedirects
                     addresses without a scheme and a host
    HeadAsGet        HEAD, answered as GET without the body
    Compression      gzip (406 where a client accepts neither that nor plain)
    CORS             Starlette's, where the settings name origins
"""

from collections.abc import Collection, Iterable
from http import HTTPStatus
from ipaddress import ip_address
from re import compile as compiled
from urllib.parse import urlsplit, urlunsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..routes.access.caller import HARMLESS
from ..routes.negotiation import choose_codings
from ..routes.problems import make_problem
from ..routes.responses import TERMS

ANY = "*"
MOST_HOSTS = 256
"""Headers `Host` that are remembered as right."""

_AUTHORITY = compiled(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]/?#@\s]+)(?::[0-9]{0,5})?")
_ORIGIN = compiled(r"https?://(.+)")
_NO_PERMISSIONS = (
    b"accelerometer=(), autoplay=(), camera=(), clipboard-read=(), display-capture=(), geolocation=(), gyroscope=(), "
    b"hid=(), magnetometer=(), microphone=(), midi=(), payment=(), publickey-credentials-get=(), serial=(), usb=()"
)
"""No page of ours uses any of these; copying to the clipboard, which the documentation does, is not among them."""
_HARDENED = [
    (b"content-security-policy", b"frame-ancestors 'none'"),
    (b"x-frame-options", b"DENY"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"permissions-policy", _NO_PERMISSIONS),
    (b"cross-origin-resource-policy", b"same-origin"),
]


_LOCATION = b"location"


class SecurityHeaders:
    """Adds the security headers to every answer; a policy that an answer sets itself stays."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_hardened(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": add_security_headers(message["headers"])}
            await send(message)

        await self._app(scope, receive, send_hardened if scope["type"] == "http" else send)


def add_security_headers(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return headers with the security headers that are not among them."""
    known = [*headers]
    named = {name.lower() for name, _ in known}
    return [*known, *[header for header in _HARDENED if header[0] not in named]]


class HostGuard:
    """
    Refuses requests for a host that is not ours, and changes that a page of another origin asks for.

    A page of a stranger can make its own name lead to this machine: its browser would then take us for that page's
    own server. An address in numbers is nobody's name, so each of them may be asked for.
    """

    def __init__(self, app: ASGIApp, names: Collection[str], own: Collection[str], page: str | None = None) -> None:
        """
        Know the hosts' `names`, `*` for any, and whose pages may change something: those of the `own` hosts, and
        those of `page`, a host with its port, beside those of whatever host was asked.
        """
        self._app = app
        self._names = frozenset(name.lower().strip("[]") for name in names)
        self._own = frozenset(own)
        self._page = page
        self._accepted_hosts: set[bytes | None] = set()
        """Headers that were found right, as they came: nearly every request has the same one."""
        self._accepted = ", ".join(["localhost", "an IP address", *sorted(self._names - {ANY, "localhost"})])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = None
        if scope["type"] == "http":
            host = None
            for name, value in scope["headers"]:
                if name == b"host":
                    host = value
                    break
            if host not in self._accepted_hosts or scope["method"] not in HARMLESS:
                refusal = self._find_refusal(scope, host)
        await (self._app if refusal is None else SecurityHeaders(refusal))(scope, receive, send)

    def _find_refusal(self, scope: Scope, host: bytes | None) -> Response | None:
        status, detail = HTTPStatus.MISDIRECTED_REQUEST, self._explain_wrong_host(host)
        if detail is None and scope["method"] not in HARMLESS:
            status, detail = HTTPStatus.FORBIDDEN, self._explain_wrong_change(Headers(scope=scope))
        return None if detail is None else make_problem(scope["path"], status, detail)

    def _explain_wrong_host(self, written: bytes | None) -> str | None:
        # Only HTTP/1.0 may leave it out, and no browser does.
        host = None if written is None else written.decode("latin-1")
        if host is None or self._is_ours(_parse_host(host)):
            if len(self._accepted_hosts) < MOST_HOSTS:
                self._accepted_hosts.add(written)
            return None
        accepted = f"accepted: {self._accepted}; more in TRACKER_HOSTS"
        return f"host: {host[:100]!r} is not accepted; {accepted}"

    def _explain_wrong_change(self, headers: Headers) -> str | None:
        host, origin = headers.get("host"), headers.get("origin")
        if origin is None:
            return None
        found = _ORIGIN.fullmatch(origin.lower())
        where = found[1] if found else ""
        if where and (where in ((host or "").lower(), self._page) or _parse_host(where) in self._own):
            return None
        accepted = f"pages of {host} and of what TRACKER_PUBLIC_URL and TRACKER_HOSTS name"
        return f"origin: {origin[:100]!r} may not change anything here; accepted: {accepted}"

    def _is_ours(self, name: str) -> bool:
        if ANY in self._names or name in self._names or name == "localhost" or name.endswith(".localhost"):
            return True
        try:
            ip_address(name)
        except ValueError:
            return False
        return True


def _parse_host(authority: str) -> str:
    """Return the host of `host:port`; an empty text where it is not that."""
    found = _AUTHORITY.fullmatch(authority)
    return found[1].strip("[]").rstrip(".").lower() if found else ""


class RootPath:
    """
    Serves everything below a path as well, as a proxy does that names this process by one: `/tracker/v1/ranks`.

    A proxy may take the path away before it asks here, or leave it. Either way every address that is answered
    begins with it.
    """

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self._app = app
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        if path != self._root_path and not path.startswith(f"{self._root_path}/"):
            path = self._root_path + path
        await self._app({**scope, "path": path, "root_path": self._root_path}, receive, send)


class RelativeRedirects:
    """Lets redirects name no scheme and no host: where a proxy is in front, it alone knows them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_relative(message: Message) -> None:
            if message["type"] == "http.response.start" and _LOCATION in [name for name, _ in message["headers"]]:
                headers = MutableHeaders(raw=message["headers"])
                headers["location"] = _drop_host(headers["location"])
                message = {**message, "headers": headers.raw}
            await send(message)

        await self._app(scope, receive, send_relative if scope["type"] == "http" else send)


def _drop_host(location: str) -> str:
    """Return the path and the query of an address."""
    return urlunsplit(("", "", *urlsplit(location)[2:]))


def find_route_path(scope: Scope) -> str:
    """Return the path that was asked for, without the one that a proxy serves all of it below."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


class HeadAsGet:
    """Answers HEAD as GET without the body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_without_body(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        if scope["type"] == "http" and scope["method"] == "HEAD":
            await self._app({**scope, "method": "GET"}, receive, send_without_body)
        else:
            await self._app(scope, receive, send)


class Compression:
    """Compresses where gzip weighs at least as much as no coding. Starlette's looks for the word, whatever its weight."""

    def __init__(self, app: ASGIApp, minimum_size: int, level: int) -> None:
        self._app = app
        self._compressed = GZipMiddleware(app, minimum_size, level)
        self._always_compressed = GZipMiddleware(app, 1, level)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Whoever keeps an answer compresses it itself, and says so in `Vary`.
        if scope["type"] != "http" or TERMS in scope:
            await self._app(scope, receive, send)
            return
        gzip, plain = choose_codings(Headers(scope=scope).get("accept-encoding"))
        if not gzip and not plain:
            detail = "accept-encoding: nothing that is sent here is accepted; accepted: gzip, identity"
            await make_problem(scope["path"], HTTPStatus.NOT_ACCEPTABLE, detail)(scope, receive, send)
            return
        others = [header for header in scope["headers"] if header[0] != b"accept-encoding"]
        accepted = [(b"accept-encoding", b"gzip")] if gzip and gzip >= plain else []
        app = self._compressed if plain else self._always_compressed
        await app({**scope, "headers": others + accepted}, receive, send)
