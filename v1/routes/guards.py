"""What stands before every route: who may ask, and HEAD. Plain ASGI, no route here."""

from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Sequence
from hmac import compare_digest
from http import HTTPStatus
from urllib.parse import urlsplit, urlunsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .problems import document

OPEN = "/health/"
"""Answered without a key: who starts and watches the process has none."""


class Keys:
    """
    Lets nobody pass without a key: `Authorization: Bearer KEY`, `X-API-Key: KEY`, or as the password of Basic.

    Basic, because a browser asks for that one by itself, and then has it for the page and the documentation too.
    """

    def __init__(self, app: ASGIApp, keys: Sequence[str]) -> None:
        self._app = app
        self._keys = [key.encode() for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (
            scope["type"] == "http"
            and not route_of(scope).startswith(OPEN)
            and not self._is_known(Headers(scope=scope))
        ):
            refusal = document(
                scope["path"],
                HTTPStatus.UNAUTHORIZED,
                "a key is wanted: Authorization: Bearer KEY, or X-API-Key: KEY",
                headers={"WWW-Authenticate": "Bearer"},
            )
            # A header of its own: Chromium does not ask its user for the second of two in one.
            refusal.headers.append("WWW-Authenticate", 'Basic realm="key as the password", charset="UTF-8"')
            await refusal(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _is_known(self, headers: Headers) -> bool:
        said = [key.encode() for key in _keys(headers)]
        # Every key is compared, so that the time taken does not tell which of them came near.
        return sum(compare_digest(key, each) for key in self._keys for each in said) > 0


def _keys(headers: Headers) -> list[str]:
    said = [key] if (key := headers.get("x-api-key")) else []
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        said.append(credentials.strip())
    if scheme.lower() == "basic":
        try:
            said.append(b64decode(credentials, validate=True).decode().partition(":")[2])
        except (NotBase64, UnicodeDecodeError):
            return said
    return said


class RootPath:
    """
    Serves everything below a path as well, as a proxy does that names this process by one: `/tracker/v1/ranks`.

    A proxy may take the path away before it asks here, or leave it. Either way every address that is answered
    begins with it. Redirects name no scheme and no host, which only the proxy knows.
    """

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self._app = app
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def relative(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message["headers"])
                if location := headers.get("location"):
                    headers["location"] = _without_host(location)
                    message = {**message, "headers": headers.raw}
            await send(message)

        path = scope["path"]
        if path != self._root_path and not path.startswith(f"{self._root_path}/"):
            path = self._root_path + path
        await self._app({**scope, "path": path, "root_path": self._root_path}, receive, relative)


def _without_host(location: str) -> str:
    """Return the path and the query of an address."""
    return urlunsplit(("", "", *urlsplit(location)[2:]))


def route_of(scope: Scope) -> str:
    """Return the path that was asked for, without the one that a proxy serves all of it below."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


class Head:
    """Answers HEAD as GET without the body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def without_body(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        if scope["type"] == "http" and scope["method"] == "HEAD":
            await self._app({**scope, "method": "GET"}, receive, without_body)
        else:
            await self._app(scope, receive, send)
