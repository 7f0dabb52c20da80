"""
All keys, in the memory of a process: no request asks Redis for one.

Those of Redis are read anew when a change of them is told, every second while such changes are not heard, and every
half minute anyway. While they cannot be read, those that are known are accepted for a minute; nobody knows then whether
one is revoked, or whether an unknown one was just made, so both are neither accepted nor called wrong.
"""

import asyncio
import time
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from enum import Enum
from hmac import compare_digest

import structlog

from ...store import ApiKey, ApiKeyStore, Change, ChangeFeed, ChangeKind, KeyScope, StoreError
from ...store.api_keys import find_key_id, hash_key
from .caller import Caller

REREAD_SECONDS = 30.0
"""Between two readings of the keys while changes of them are told."""
UNTOLD_SECONDS = 1.0
"""The same while they are not."""
TRUSTED_SECONDS = 60.0
"""How long after the last reading the keys of Redis are accepted."""
USE_SECONDS = 60.0
"""Between two writings of when keys were last used."""
MOST_KNOWN = 4096
"""Forms of headers that are remembered; a client sends the same all the time."""

log = structlog.get_logger()

Credentials = tuple[bytes, bytes]
"""The values of `Authorization` and `X-API-Key`, empty where there is none."""
NO_CREDENTIALS: Credentials = (b"", b"")


class KeyState(Enum):
    """Why nobody was found for a key."""

    UNKNOWN = "unknown"
    """It is no key, or not any more."""
    UNSURE = "unsure"
    """It may be one: the keys cannot be read."""


class KeyRing:
    """The keys of the settings and those in Redis. `identify` is cheap enough to be called for every request."""

    def __init__(
        self, given: Sequence[str], clock: Callable[[], float], steady: Callable[[], float] = time.monotonic
    ) -> None:
        """Know the keys of the settings. `clock` says unix seconds, `steady` seconds that only go forward."""
        self._given = [(form, place) for place, key in enumerate(given, 1) for form in _encode_key(key)]
        self._clock = clock
        self._steady = steady
        self._made: Mapping[str, ApiKey] = {}
        self._trusted_until = -1.0
        self._is_current = False
        self._known: dict[Credentials, Caller] = {}
        self._uses: dict[str, int] = {}
        self._uses_due = steady() + USE_SECONDS
        self._changed = asyncio.Event()

    def identify(self, credentials: Credentials) -> Caller | KeyState:
        """Return who has a key, or why that is nobody."""
        known = self._known.get(credentials)
        if known is None:
            found = self._find(credentials)
            if isinstance(found, KeyState):
                return found
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            known = self._known[credentials] = found
        if known.is_made:
            now = self._clock()
            if known.until is not None and now >= known.until:
                return KeyState.UNKNOWN
            if self._steady() >= self._trusted_until:
                return KeyState.UNSURE
            self._uses[str(known.id)] = int(now)
        return known

    def can_change_rules(self, credentials: Credentials) -> bool:
        """Return whether who has a key may change rules by it."""
        caller = self.identify(credentials)
        return isinstance(caller, Caller) and caller.scope.can_act_as(KeyScope.RULES)

    def is_valid(self, caller: Caller) -> bool:
        """Return whether a caller that was identified may still ask: whether the key is not revoked, and not over."""
        if not caller.is_made:
            return True
        is_over = caller.until is not None and self._clock() >= caller.until
        return not is_over and str(caller.id) in self._made

    def note_change(self, change: Change) -> None:
        """Have the keys read anew where they may have changed."""
        if change.kind in (ChangeKind.KEYS, ChangeKind.ALL):
            self._changed.set()

    async def keep(self, store: ApiKeyStore, changes: ChangeFeed) -> None:
        """Read the keys again and again, until cancelled; `changes` tells `note_change` of theirs while it is live."""
        while True:
            seconds = REREAD_SECONDS if changes.is_live and self._is_current else UNTOLD_SECONDS
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._changed.wait()
            self._changed.clear()
            await self.read(store)
            if self._steady() >= self._uses_due:
                await self.write_uses(store)

    async def read(self, store: ApiKeyStore) -> None:
        """Read the keys. Where they cannot be read, that is logged once."""
        try:
            made = await store.read_keys()
        except StoreError as error:
            if self._is_current or self._trusted_until < 0:
                log.warning("the keys cannot be read", reason=str(error), known_for=f"{TRUSTED_SECONDS:g} s")
            self._is_current, self._trusted_until = False, max(self._trusted_until, 0.0)
            return
        self._is_current, self._trusted_until = True, self._steady() + TRUSTED_SECONDS
        if made != self._made:
            self._made = made
            self._known.clear()

    async def write_uses(self, store: ApiKeyStore) -> None:
        """Write when keys were used since the last time; where that fails, it is tried again later."""
        self._uses_due = self._steady() + USE_SECONDS
        uses = {key_id: at for key_id, at in self._uses.items() if key_id in self._made}
        if uses:
            try:
                await store.note_uses(uses)
            except StoreError:
                return
        self._uses.clear()

    def _find(self, credentials: Credentials) -> Caller | KeyState:
        given = _read_keys(*credentials)
        # Every key is compared, so that the time taken does not tell which of them came near.
        matching = [place for key, place in self._given for each in given if compare_digest(key, each)]
        if matching:
            return Caller(f"settings-{matching[0]}", "TRACKER_API_KEYS", KeyScope.ADMIN, None, is_made=False)
        state = KeyState.UNKNOWN
        for text in (each.decode("latin-1") for each in given):
            key_id = find_key_id(text)
            if key_id is None:
                continue
            made = self._made.get(key_id)
            if made and compare_digest(made.digest, hash_key(text)):
                return Caller(made.id, made.name, made.scope, made.until, is_made=True)
            if not self._is_current:
                state = KeyState.UNSURE
        return state


def _encode_key(key: str) -> list[bytes]:
    """Return a key as bytes. A client may send a letter beyond ASCII in either encoding; a header does not say which."""
    try:
        return sorted({key.encode(), key.encode("latin-1")})
    except UnicodeEncodeError:
        return [key.encode()]


def _read_keys(authorization: bytes, header: bytes) -> list[bytes]:
    """Return the keys of a request, as the bytes that came."""
    found = [header] if header else []
    scheme, _, credentials = authorization.partition(b" ")
    if scheme.lower() == b"bearer":
        # Not every blank: a byte of a letter in UTF-8 may look like one.
        found.append(credentials.strip(b" \t"))
    if scheme.lower() == b"basic":
        try:
            found.append(b64decode(credentials, validate=True).partition(b":")[2])
        except (NotBase64, ValueError):
            return found
    return found
