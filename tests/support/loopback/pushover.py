"""
Answers as Pushover does, and is as strict: it checks every field and limit, and notes whoever breaks its policy.
What it says instead is scripted, one word a request. No message goes anywhere.

    ok      it takes the message                500     a gateway's page
    429     the quota is used up, for `wait`    reset   the connection breaks off
    hang    no answer                           lie     status 200, and no word of a message taken
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from uuid import uuid4

from aiohttp import web

TOKEN, USER = "a" * 30, "u" * 30
LONGEST = {"message": 1024, "title": 250, "url": 512, "url_title": 100}
JUST_NOW = 0.1
"""Seconds in which an answer may not have been heard, or not been written down, by who was killed."""


class Pushover:
    """`pause` is how long it wants to be left alone after a 5xx; `wait` how long after a 429, in seconds."""

    def __init__(
        self, script: Iterable[str] = (), *, pause: float = 0.0, wait: float = 0.05, remaining: int = 7496
    ) -> None:
        self.script = iter(script)
        """What it says to the next messages; after that, ok."""
        self.pause, self.wait = pause, wait
        self.limit, self.remaining, self.reset = 10_000, remaining, int(time.time()) + 86400
        self.taken: list[Mapping[str, str]] = []
        """The messages that it took, as they came."""
        self.asked: list[Mapping[str, str]] = []
        self.arrived: dict[str, float] = {}
        """When each message came first, by the monotonic clock."""
        self.answers: Counter[str] = Counter()
        self.broken: list[str] = []
        """What of its policy was broken."""
        self.most_connections = 0
        self.receipts: dict[str, dict[str, object]] = {}
        self.cancelled: list[str] = []
        self.polled: list[float] = []
        self.refuses = ""
        """A message that has this in it is refused with a 400."""
        self._connections: set[asyncio.BaseTransport] = set()
        self._refused: set[str] = set()
        self._closed_until = 0.0
        self._answered: tuple[float, str] = (0.0, "")
        """When a message was answered last, and which."""

    def application(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [
                web.post("/1/messages.json", self.message),
                web.post("/1/users/validate.json", self.validate),
                web.get("/1/apps/limits.json", self.limits),
                web.get("/1/receipts/{receipt}.json", self.receipt),
                web.post("/1/receipts/{receipt}/cancel.json", self.cancel),
            ]
        )
        return app

    @property
    def ids(self) -> list[str]:
        """The ids of the messages that it took: the last line of each."""
        return [message_id(form) for form in self.taken]

    async def validate(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self._connect(request)
        errors = wrong(form | {"message": "none is sent"})
        if errors:
            return self._says(400, **errors)
        return self._says(200, group=0, devices=["phone"], licenses=["Android"])

    async def limits(self, request: web.Request) -> web.Response:
        self._connect(request)
        if request.query.get("token") != TOKEN:
            return self._says(400, token="invalid", errors=["application token is invalid"])
        return self._says(200, limit=self.limit, remaining=self.remaining, reset=self.reset)

    async def message(self, request: web.Request) -> web.StreamResponse:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self._watch(request, form)
        self.asked.append(form)
        self.arrived.setdefault(message_id(form), time.monotonic())
        self._answered = time.monotonic(), _same(form)
        errors = wrong(form)
        if self.refuses and self.refuses in form["message"]:
            errors = {"errors": ["message is not wanted"]}
        if errors:
            self.answers["400"] += 1
            self._refused.add(_same(form))
            return self._says(400, **errors)
        word = next(self.script, "ok")
        self.answers[word] += 1
        return await self._ANSWERS[word](self, request, form)

    async def receipt(self, request: web.Request) -> web.Response:
        self._connect(request)
        self.polled.append(time.monotonic())
        known = self.receipts.get(request.match_info["receipt"])
        if request.query.get("token") != TOKEN:
            return self._says(400, token="invalid", errors=["application token is invalid"])
        return self._says(200, **known) if known else self._says(404, errors=["receipt not found"])

    async def cancel(self, request: web.Request) -> web.Response:
        self.cancelled.append(request.match_info["receipt"])
        return self._says(200)

    def acknowledge(self, receipt: str, at: int, by: str, device: str) -> None:
        self.receipts[receipt] |= {
            "acknowledged": 1,
            "acknowledged_at": at,
            "acknowledged_by": by,
            "acknowledged_by_device": device,
        }

    def killed(self) -> None:
        """Take note that the sender was killed: what it was told just now, it may not have written down."""
        when, same = self._answered
        if time.monotonic() - when < JUST_NOW:
            self._refused.discard(same)
            self._closed_until = 0.0

    def _watch(self, request: web.Request, form: Mapping[str, str]) -> None:
        self._connect(request)
        if len(self._connections) > 2:
            self.broken.append(f"{len(self._connections)} connections")
        if _same(form) in self._refused:
            self.broken.append(f"a 4xx was repeated: {message_id(form)}")
        if time.monotonic() < self._closed_until:
            self.broken.append(f"{self._closed_until - time.monotonic():.3f} s too early: {message_id(form)}")

    def _connect(self, request: web.Request) -> None:
        self._connections = {each for each in self._connections if not each.is_closing()}
        if request.transport:
            self._connections.add(request.transport)
        self.most_connections = max(self.most_connections, len(self._connections))

    async def _ok(self, _: web.Request, form: Mapping[str, str]) -> web.Response:
        self.remaining -= 1
        self.taken.append(form)
        if form["priority"] != "2":
            return self._says(200)
        receipt = uuid4().hex[:30]
        self.receipts[receipt] = {"acknowledged": 0, "expired": 0, "expires_at": int(time.time()) + int(form["expire"])}
        return self._says(200, receipt=receipt)

    async def _failed(self, _: web.Request, __: Mapping[str, str]) -> web.Response:
        self._closed_until = time.monotonic() + self.pause
        return web.Response(status=500, text="<html><h1>Internal Server Error</h1></html>", content_type="text/html")

    async def _full(self, _: web.Request, __: Mapping[str, str]) -> web.Response:
        self._closed_until = time.monotonic() + self.wait
        answer = self._says(429, errors=["application reached monthly message limit"])
        answer.headers["Retry-After"] = f"{self.wait:.0f}"
        return answer

    async def _reset(self, request: web.Request, _: Mapping[str, str]) -> web.Response:
        if request.transport:
            request.transport.abort()
        return web.Response()

    async def _hang(self, _: web.Request, __: Mapping[str, str]) -> web.Response:
        await asyncio.sleep(3600)
        return web.Response()

    async def _lie(self, _: web.Request, __: Mapping[str, str]) -> web.Response:
        return self._says(200, status=0, errors=["try again"])

    _ANSWERS: Mapping[str, Callable[..., Awaitable[web.StreamResponse]]] = {
        "ok": _ok,
        "500": _failed,
        "429": _full,
        "reset": _reset,
        "hang": _hang,
        "lie": _lie,
    }

    def _says(self, code: int, /, **said: object) -> web.Response:
        body = {"status": int(code == 200), "request": str(uuid4())} | said
        limits = {"Limit": self.limit, "Remaining": self.remaining, "Reset": self.reset}
        headers = {f"X-Limit-App-{name}": str(number) for name, number in limits.items()}
        return web.Response(status=code, text=json.dumps(body), headers=headers, content_type="application/json")


def wrong(form: Mapping[str, str]) -> dict[str, object]:
    """Return what is wrong with a message, as Pushover says it; nothing where it is a message."""
    if form.get("token") != TOKEN:
        return {"token": "invalid", "errors": ["application token is invalid, see https://pushover.net/api"]}
    if form.get("user") != USER:
        return {"user": "invalid", "errors": ["user identifier is not a valid user, group, or subscribed user key"]}
    checks = {
        "message cannot be blank": not form.get("message", "").strip(),
        "priority is invalid": form.get("priority", "0") not in ("-2", "-1", "0", "1", "2"),
        "timestamp is invalid": not form.get("timestamp", "0").isdecimal(),
        "retry must be supplied with priority=2": form.get("priority") == "2" and int(form.get("retry", 0)) < 30,
        "expire must be supplied with priority=2": form.get("priority") == "2"
        and not 0 < int(form.get("expire", 0)) <= 10_800,
        **{f"{field} is too long": len(form.get(field, "")) > most for field, most in LONGEST.items()},
    }
    errors = [error for error, holds in checks.items() if holds]
    return {"errors": errors} if errors else {}


def message_id(form: Mapping[str, str]) -> str:
    return form.get("message", "").rpartition("\n")[2]


def _same(form: Mapping[str, str]) -> str:
    return json.dumps(sorted(form.items()))
