"""What the API reads and writes: rules, silences, and the acknowledgements of alerts."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

from redis.asyncio.client import Pipeline

from ..model import DAY
from ..rules import AcknowledgedAlert, Rule, Silence
from ..rules.alert import make_alert_id
from ..rules.rule_set import disable_default, find_default, read_rule_set, write_document
from ..rules.rules_file import MOST_RULES
from . import keys
from .acknowledged import (
    KEPT_SECONDS,
    MOST_ACKNOWLEDGED,
    list_old_fields,
    read_acknowledged,
    write_acknowledged,
    write_field,
)
from .alert_history import AlertReader
from .changes import ChangeKind, put_change
from .connection import translate_errors
from .event_log import EventKind, put_event
from .rule_store import RuleStore
from .transactions import change_watched

MOST_SILENCES = 1000
KEPT_AFTER = 30 * DAY
"""Seconds that a silence is kept after its end, so that it can be seen why no message was sent."""
UNTIL_OVER = "over"
"""Until when an acknowledgement keeps messages back, where it does."""
OF_ACKNOWLEDGEMENT = ("acknowledged", "by", "comment", "until")
"""What is kept of an acknowledgement with its alert."""
_CHANGES = {keys.RULES: ChangeKind.RULES, keys.SILENCES: ChangeKind.SILENCES}


class LimitReached(Exception):
    """There are as many rules or silences as are allowed; the message says how many."""


class Acknowledgement(NamedTuple):
    """Who has seen an alert."""

    at: int
    """Unix seconds."""
    by: str
    comment: str = ""
    until_over: bool = False
    """Whether no message is to be sent about it until it is over."""


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

    async def acknowledge(self, alert: Mapping[str, Any], given: Acknowledgement) -> dict[str, str]:
        """
        Write who has acknowledged an alert, and return what is written: the first acknowledgement stays.

        That nothing is to be sent until it is over may follow later, by somebody else. Raises `LimitReached`.
        """
        key = keys.alert(alert["id"])
        with translate_errors():
            left = await self._redis.ttl(keys.ALERTS)
        pipe = self._redis.pipeline(transaction=True)
        pipe.execute_command("HSETNX", key, "acknowledged", given.at)
        pipe.execute_command("HSETNX", key, "by", given.by)
        if given.comment:
            pipe.execute_command("HSETNX", key, "comment", given.comment)
        if given.until_over:
            await self._put_until_over(pipe, alert, given)
            pipe.execute_command("HSET", key, "until", UNTIL_OVER)
        pipe.execute_command("EXPIRE", key, left if left > 0 else KEPT_AFTER)
        put_event(pipe, EventKind.ACKNOWLEDGED, alert["id"])
        pipe.execute_command("HGETALL", key)
        put_change(pipe, ChangeKind.ALERTS)
        with translate_errors():
            *_, known, _ = await pipe.execute()
        return cast("dict[str, str]", known)

    async def take_back(self, alert: Mapping[str, Any]) -> None:
        """
        Delete who has acknowledged an alert. Messages that it kept back until it is over are sent from the next tick on.

        Where another alert of the same rule and metric was acknowledged until then after this one, that still holds.
        """
        field = write_field(alert["rule"], alert["metric"])

        async def decide(pipe: Pipeline) -> None:
            written = cast("str | None", await pipe.hget(keys.ACKNOWLEDGED, field))
            kept = read_acknowledged({field: written} if written else {}).values()
            pipe.multi()  # type: ignore[no-untyped-call]  # as in redis-py
            pipe.execute_command("HDEL", keys.alert(alert["id"]), *OF_ACKNOWLEDGEMENT)
            if any(each.at == alert["at"] for each in kept):
                pipe.execute_command("HDEL", keys.ACKNOWLEDGED, field)
            put_event(pipe, EventKind.ACKNOWLEDGED, alert["id"])
            put_change(pipe, ChangeKind.ALERTS)

        await change_watched(self._redis, keys.ACKNOWLEDGED, decide)

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

    async def _put_until_over(self, pipe: Pipeline, alert: Mapping[str, Any], given: Acknowledgement) -> None:
        """Put what the worker reads at each tick, and the removal of what is old."""
        with translate_errors():
            written = cast("dict[str, str]", await self._redis.hgetall(keys.ACKNOWLEDGED))
        field, old = write_field(alert["rule"], alert["metric"]), [*list_old_fields(written, given.at)]
        if len(written.keys() - {*old, field}) >= MOST_ACKNOWLEDGED:
            raise LimitReached(
                f"{MOST_ACKNOWLEDGED} alerts are acknowledged until they are over, and so many are the most"
            )
        if old:
            pipe.execute_command("HDEL", keys.ACKNOWLEDGED, *old)
        before = read_acknowledged({field: written[field]} if field in written else {})
        for (rule, subject), each in before.items():
            if each.at != alert["at"]:
                # One of them holds, the last one, so that it can be taken back.
                pipe.execute_command("HDEL", keys.alert(make_alert_id(rule, subject, each.at)), "until")
        kept = write_acknowledged(AcknowledgedAlert(alert["at"], given.by), given.at)
        pipe.execute_command("HSET", keys.ACKNOWLEDGED, field, kept)
        pipe.execute_command("EXPIRE", keys.ACKNOWLEDGED, KEPT_SECONDS)

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
