"""What the API reads and writes: rules, silences, and the acknowledgements of alerts."""

from collections.abc import Sequence
from typing import cast

from ..model import DAY
from ..rules import Rule, Silence
from ..rules.rule_set import disable_default, find_default, read_rule_set, write_document
from ..rules.rules_file import MOST_RULES
from . import keys
from .alert_history import AlertReader
from .changes import ChangeKind, put_change
from .connection import translate_errors
from .event_log import EventKind, put_event
from .rule_store import RuleStore

MOST_SILENCES = 1000
KEPT_AFTER = 30 * DAY
"""Seconds that a silence is kept after its end, so that it can be seen why no message was sent."""
_CHANGES = {keys.RULES: ChangeKind.RULES, keys.SILENCES: ChangeKind.SILENCES}


class LimitReached(Exception):
    """There are as many rules or silences as are allowed; the message says how many."""


class AdminStore(AlertReader, RuleStore):
    """Every change is one transaction. Raises `StoreAway` when Redis does not answer; then nothing was changed."""

    async def put_rule(self, rule: Rule) -> None:
        """Write a rule, in place of the one of its id. Raises `LimitReached`."""
        await self._put(keys.RULES, rule.id, write_document(rule), MOST_RULES)

    async def delete_rule(self, rule: str) -> None:
        """Delete a rule; a default one is switched off instead."""
        known = find_default(rule)
        if known:
            await self._put(keys.RULES, rule, write_document(disable_default(known)), MOST_RULES + 1)
            return
        await self._delete(keys.RULES, rule)

    async def put_silence(self, silence: Silence, now: int) -> None:
        """Write a silence, and delete those that ended long ago. Raises `LimitReached`."""
        for name, each in read_rule_set((await self.read_rules()).written, 1).silences.items():
            if each.end < now - KEPT_AFTER:
                await self.delete_silence(name)
        await self._put(keys.SILENCES, silence.id, write_document(silence), MOST_SILENCES)

    async def delete_silence(self, silence: str) -> bool:
        """Delete a silence; return whether it was there."""
        return await self._delete(keys.SILENCES, silence)

    async def acknowledge(self, alert: str, at: int, by: str, comment: str) -> dict[str, str]:
        """Write who has acknowledged an alert, and return what is written: the first acknowledgement stays."""
        key = keys.alert(alert)
        with translate_errors():
            left = await self._redis.ttl(keys.ALERTS)
        pipe = self._redis.pipeline(transaction=True)
        pipe.execute_command("HSETNX", key, "acknowledged", at)
        pipe.execute_command("HSETNX", key, "by", by)
        if comment:
            pipe.execute_command("HSETNX", key, "comment", comment)
        pipe.execute_command("EXPIRE", key, left if left > 0 else KEPT_AFTER)
        put_event(pipe, EventKind.ACKNOWLEDGED, alert)
        pipe.execute_command("HGETALL", key)
        put_change(pipe, ChangeKind.ALERTS)
        with translate_errors():
            *_, known, _ = await pipe.execute()
        return cast("dict[str, str]", known)

    async def replace_rule_set(self, rules: Sequence[Rule], silences: Sequence[Silence], old: Sequence[str]) -> None:
        """Write these in place of all rules that were written through the API, and of the silences of the ids `old`."""
        pipe = self._redis.pipeline(transaction=True)
        pipe.execute_command("DEL", keys.RULES)
        for rule in rules:
            pipe.execute_command("HSET", keys.RULES, rule.id, write_document(rule))
        if old:
            pipe.execute_command("HDEL", keys.SILENCES, *old)
        for silence in silences:
            pipe.execute_command("HSET", keys.SILENCES, silence.id, write_document(silence))
        put_change(pipe, ChangeKind.RULES)
        put_change(pipe, ChangeKind.SILENCES)
        with translate_errors():
            await pipe.execute()

    async def _put(self, key: str, field: str, value: str, most: int) -> None:
        with translate_errors():
            if not await self._redis.hexists(key, field) and await self._redis.hlen(key) >= most:
                raise LimitReached(f"there are {most} already, and so many are the most; delete one first")
            pipe = self._redis.pipeline(transaction=True)
            pipe.execute_command("HSET", key, field, value)
            put_change(pipe, _CHANGES[key])
            await pipe.execute()

    async def _delete(self, key: str, field: str) -> bool:
        pipe = self._redis.pipeline(transaction=True)
        pipe.execute_command("HDEL", key, field)
        put_change(pipe, _CHANGES[key])
        with translate_errors():
            deleted, _ = await pipe.execute()
        return bool(deleted)
