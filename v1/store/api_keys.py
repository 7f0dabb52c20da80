"""
Keys of the API that are made while it runs: how one looks, and the table of them in Redis.

    dt_3f9c2a71_0d5c1f...   `dt`, 8 hexadecimal digits to find it by (its id), 32 that are secret: 128 random bits

A key is shown once, when it is made. Redis has its SHA-256: nobody can guess 128 bits, so a slow hash would protect
nothing and cost every request.
"""

import json
import re
from collections.abc import Mapping
from enum import StrEnum
from hashlib import sha256
from secrets import token_hex
from typing import NamedTuple, cast

from redis.asyncio import Redis

from ..model import DAY
from . import keys
from .admin import LimitReached
from .changes import ChangeKind, put_change
from .connection import translate_errors
from .stored_json import read_dicts

KEY_FORM = re.compile(r"dt_([0-9a-f]{8})_[0-9a-f]{32}")
MOST_KEYS = 1000
KEPT_AFTER_END = 30 * DAY
"""Seconds that a key is listed after its end."""


class KeyScope(StrEnum):
    """What a key may do; each may do what those before it may."""

    READ = "read"
    """Everything that changes nothing: every GET, and backtests."""
    RULES = "rules"
    """Rules, silences and acknowledgements, too."""
    ADMIN = "admin"
    """Everything there is."""

    def can_act_as(self, wanted: "KeyScope") -> bool:
        order = [*KeyScope]
        return order.index(self) >= order.index(wanted)


class ApiKey(NamedTuple):
    """A key as it is kept. Times are unix seconds."""

    id: str
    name: str
    """Whose it is."""
    scope: KeyScope
    digest: str
    """SHA-256 of the whole key, in hexadecimal digits."""
    made_at: int
    until: int | None
    """It is not accepted from then on; `None`: it has no end."""


def find_key_id(text: str) -> str | None:
    """Return the id in the text of a key; `None` where it is not of the form of keys that are made."""
    found = KEY_FORM.fullmatch(text)
    return found[1] if found else None


def hash_key(text: str) -> str:
    return sha256(text.encode()).hexdigest()


class ApiKeyStore:
    """The table of keys. Each change is one transaction that is also published. Raises what a `Reader` does."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def read_keys(self) -> dict[str, ApiKey]:
        """Return all keys by their ids; what is no key is left out, so nobody gets in by it."""
        with translate_errors():
            written = cast("dict[str, str]", await self._redis.hgetall(keys.API_KEYS))
        found = {key_id: _parse_key(key_id, fields) for key_id, fields in read_dicts(written).items()}
        return {key_id: key for key_id, key in found.items() if key}

    async def read_uses(self) -> dict[str, int]:
        """Return when each key was last used, to the minute, by its id. A key that never was is not there."""
        with translate_errors():
            written = cast("dict[str, str]", await self._redis.hgetall(keys.API_KEY_USES))
        return {key_id: int(at) for key_id, at in written.items() if at.isdecimal()}

    async def add_key(self, name: str, scope: KeyScope, now: int, until: int | None) -> tuple[str, ApiKey]:
        """Make a key, and return its text, which nobody can read again, with what is kept. Raises `LimitReached`."""
        known = await self.read_keys()
        for each in known.values():
            if each.until is not None and each.until < now - KEPT_AFTER_END:
                await self.revoke_key(each.id)
        if len(known) >= MOST_KEYS:
            raise LimitReached(f"there are {MOST_KEYS} keys already, and so many are the most; revoke one first")
        while (key_id := token_hex(4)) in known:
            pass
        text = f"dt_{key_id}_{token_hex(16)}"
        made = ApiKey(key_id, name, scope, hash_key(text), now, until)
        pipe = self._redis.pipeline(transaction=True)
        pipe.hset(keys.API_KEYS, key_id, _write_key(made))
        put_change(pipe, ChangeKind.KEYS)
        with translate_errors():
            await pipe.execute()
        return text, made

    async def revoke_key(self, key_id: str) -> bool:
        """Delete a key; return whether it was there."""
        pipe = self._redis.pipeline(transaction=True)
        pipe.hdel(keys.API_KEYS, key_id)
        pipe.hdel(keys.API_KEY_USES, key_id)
        put_change(pipe, ChangeKind.KEYS)
        with translate_errors():
            deleted, *_ = await pipe.execute()
        return bool(deleted)

    async def note_uses(self, uses: Mapping[str, int]) -> None:
        """Write when keys were last used, unix seconds by their ids."""
        with translate_errors():
            await self._redis.hset(keys.API_KEY_USES, mapping={key_id: str(at) for key_id, at in uses.items()})


def _write_key(key: ApiKey) -> str:
    known = {"name": key.name, "scope": key.scope, "sha256": key.digest, "made_at": key.made_at, "until": key.until}
    return json.dumps(known, ensure_ascii=False, separators=(",", ":"))


def _parse_key(key_id: str, fields: Mapping[str, object]) -> ApiKey | None:
    match fields:
        case {"name": str(name), "scope": str(scope), "sha256": str(digest), "made_at": int(made_at), "until": until}:
            is_whole = scope in [*KeyScope] and (until is None or isinstance(until, int))
            return (
                ApiKey(key_id, name, KeyScope(scope), digest, made_at, cast("int | None", until)) if is_whole else None
            )
    return None
