"""Reads rules and silences, and writes the rules of the rules file."""

from collections.abc import Mapping
from typing import NamedTuple

from redis.asyncio import Redis

from ..rules.rule_set import StoredRules
from . import keys
from .changes import ChangeKind, put_change
from .connection import translate_errors


class StoredRuleSet(NamedTuple):
    """The rules and silences, as they are stored."""

    written: StoredRules
    channels: frozenset[str] | None
    """Those that rules may name; `None` where no worker has written them."""
    problem: str | None
    """What is wrong with the file of rules."""


class RuleStore:
    """Each method is one round trip. Raises `StoreAway` when Redis does not answer."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def read_rules(self) -> StoredRuleSet:
        """Return the rules and silences."""
        pipe = self._redis.pipeline(transaction=False)
        for key in (keys.RULES, keys.FILE_RULES, keys.SILENCES, keys.CHANNELS):
            pipe.hgetall(key)
        pipe.get(keys.RULES_PROBLEM)
        with translate_errors():
            api, file, silences, channels, problem = await pipe.execute()
        return StoredRuleSet(StoredRules(api, file, silences), frozenset(channels) if channels else None, problem)

    async def write_file_rules(self, rules: Mapping[str, str], problem: str | None) -> None:
        """Write the rules of the file in place of those before, and what is wrong with the file."""
        pipe = self._redis.pipeline(transaction=True)
        pipe.execute_command("DEL", keys.FILE_RULES, keys.RULES_PROBLEM)
        for name, rule in rules.items():
            pipe.execute_command("HSET", keys.FILE_RULES, name, rule)
        if problem is not None:
            pipe.execute_command("SET", keys.RULES_PROBLEM, problem)
        put_change(pipe, ChangeKind.RULES)
        with translate_errors():
            await pipe.execute()
