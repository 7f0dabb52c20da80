"""What can go wrong instead of an answer. A fault is a function of the request; no provider is known here."""

import asyncio
import json
from collections.abc import Awaitable, Callable

from aiohttp import web

Fault = Callable[[web.Request], Awaitable[web.StreamResponse | None]]
"""`None` lets the request through."""

FAULTS = web.AppKey("faults", dict[str, Fault])
ASKED = web.AppKey("asked", list[web.Request])


@web.middleware
async def injected(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    request.app[ASKED].append(request)
    fault = request.app[FAULTS].get(request.path)
    return (fault and await fault(request)) or await handler(request)


def says(body: object, status: int = 200, **headers: str) -> Fault:
    """Answer with this JSON; `Retry_After="7"` is a header."""

    async def fault(_: web.Request) -> web.StreamResponse:
        text = body if isinstance(body, str) else json.dumps(body)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(text=text, status=status, headers=named, content_type="application/json")

    return fault


def page(status: int = 200) -> Fault:
    """Answer with a web page, as gateways do."""

    async def fault(_: web.Request) -> web.StreamResponse:
        return web.Response(text="<html><h1>Just a moment...</h1></html>", status=status, content_type="text/html")

    return fault


def hang() -> Fault:
    """Never answer."""

    async def fault(_: web.Request) -> web.StreamResponse | None:
        await asyncio.Event().wait()
        return None

    return fault


def reset() -> Fault:
    """Break the connection off."""

    async def fault(request: web.Request) -> web.StreamResponse:
        if request.transport:
            request.transport.abort()
        return web.Response()

    return fault


def once(fault: Fault) -> Fault:
    """Let everything through after the first request."""
    left = [fault]

    async def first(request: web.Request) -> web.StreamResponse | None:
        return await left.pop()(request) if left else None

    return first
