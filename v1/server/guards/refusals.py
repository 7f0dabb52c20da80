"""How a guard refuses: with the headers that every answer has, which layers further inside add to the others."""

from collections.abc import Mapping
from typing import Any

from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ..middleware import SecurityHeaders


class Refusals:
    """Sends refusals, so that a page of an origin that may ask can read why."""

    def __init__(self, cors: Mapping[str, Any] | None = None) -> None:
        """`cors` are the options of Starlette's middleware; without them no page of another origin may ask."""
        self._cors = cors

    async def send(self, refusal: Response, scope: Scope, receive: Receive, send: Send) -> None:
        app: ASGIApp = CORSMiddleware(refusal, **self._cors) if self._cors else refusal
        await SecurityHeaders(app)(scope, receive, send)
