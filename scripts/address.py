"""Where the API is, and what can be asked there. Asks as any user would."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from aiohttp import ClientError, ClientSession

from worker.settings import WorkerSettings

EVERYWHERE = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104  # what listens everywhere is asked here
FIRST_METRIC_SECONDS = 10.0
"""A live market's first samples may take a whole interval; nobody wants that long for the address."""


class ApiAddress:
    def __init__(self, settings: WorkerSettings, version: str, session: ClientSession) -> None:
        host, _, port = settings.bind.rpartition(":")
        scheme = "https" if settings.tls_cert else "http"
        self.base = f"{scheme}://{EVERYWHERE.get(host, host)}:{port}"
        self._version = version
        self._session = session
        self._is_answered = bool(settings.api_keys) or not settings.is_guarded
        """Whether what it is asked is answered: a key that was made is known to its owner alone."""
        self._headers = {"Authorization": f"Bearer {settings.api_keys[0]}"} if settings.api_keys else {}

    async def is_live(self) -> bool:
        return await self._ask("/health/live") is not None

    async def find_example(self) -> str:
        """Return the path of a history that has an answer; that of the list of metrics where there is none so soon."""
        last = time.monotonic() + FIRST_METRIC_SECONDS
        while self._is_answered and time.monotonic() < last:
            match await self._ask(f"/{self._version}/ranks?limit=1"):
                case {"ranks": [{"metric": metric}, *_]}:
                    return f"/{self._version}/metrics/{metric}/history?measure=price"
            if is_hopeless(await self.fetch_health()):
                break
            await asyncio.sleep(0.1)
        return f"/{self._version}/metrics"

    async def fetch_health(self) -> Mapping[str, Any] | None:
        """Return what `/health/ready` says, ready or not; `None` where it does not answer."""
        try:
            async with self._session.get(self.base + "/health/ready") as answer:
                known = await answer.json()
        except (ClientError, TimeoutError, OSError, ValueError):
            return None
        return known if isinstance(known, dict) else None

    async def _ask(self, path: str) -> object:
        """Return the answer to a question, `None` where there is none."""
        try:
            async with self._session.get(self.base + path, headers=self._headers) as answer:
                return await answer.json() if answer.ok else None
        except (ClientError, TimeoutError, OSError, ValueError):
            return None


def is_hopeless(health: Mapping[str, Any] | None) -> bool:
    """Return whether there is something to mend before there can be a sample: sources fail, or have nothing."""
    if health is None:
        return False
    sources = health["sources"].values()
    has_trouble = bool(health["wishes"]) or any(source["state"] != "ok" for source in sources)
    return has_trouble and not any(source["state"] == "ok" and source["metrics"] for source in sources)
