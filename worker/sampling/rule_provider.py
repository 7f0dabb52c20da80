"""Keeps the rules in force up to date: the default ones, those of the API, kept in Redis, and those of a rules file."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import structlog

from worker.latest.market import StateUpdate
from worker.latest.rules import (
    DEFAULTS,
    LARGEST_FILE,
    NO_RULES,
    InvalidFile,
    Rule,
    RuleEngine,
    RuleSet,
    Silence,
    WrittenRules,
    read_rule_set,
    read_rules_file,
    write_rule,
)
from worker.latest.store import RuleStore, StoreAway, StoreError
from worker.reporting.outage_log import OutageLog

log = structlog.get_logger()

REFRESH_SECONDS = 2.0
"""How long reading the rules may take beside reading the sources; then those known before are used."""


class RuleSource(Protocol):
    """Provides the rules that a tick is evaluated by."""

    @property
    def engine(self) -> RuleEngine:
        """Return the rules in force."""
        ...

    async def read(self) -> None:
        """Read which rules are in force. Raises `StoreAway`; then those known before stay in force."""
        ...

    async def refresh(self) -> None:
        """Read them if that can be done quickly; never raises."""
        ...


class FixedRules:
    """Rules that never change."""

    def __init__(self, engine: RuleEngine = NO_RULES) -> None:
        self.engine = engine

    async def read(self) -> None:
        return

    async def refresh(self) -> None:
        return


class RulesFile:
    """A rules file, read again when it changes. While it is invalid, the rules that it held before stay in force."""

    def __init__(self, path: Path, interval: int) -> None:
        self._path = path
        self._interval = interval
        self._stamp: object = None
        self._text: str | InvalidFile = ""
        self._parsed: object = None
        self.rules: dict[str, str] | None = None
        """As they are stored, by id; `None` while the file has never been valid."""
        self.problem: str | None = None
        """What is wrong with the file."""

    def read(self, channels: frozenset[str] | None) -> None:
        """Read the file if it changed; rules may name `channels`."""
        self._read_text()
        if self._parsed == (self._text, channels):
            return
        self._parsed = self._text, channels
        try:
            if isinstance(self._text, InvalidFile):
                raise self._text
            rules = read_rules_file(self._text, self._interval, channels)
        except InvalidFile as error:
            self._log_problem("\n".join(f"{self._path}: {line}" for line in str(error).split("\n")))
            return
        self._log_problem(None)
        self.rules = {rule.id: write_rule(rule) for rule in rules}

    def _read_text(self) -> None:
        """Read the text, or why it cannot be read, if the file changed."""
        try:
            status = self._path.stat()
            stamp = status.st_mtime_ns, status.st_size, status.st_ino
            if stamp != self._stamp:
                is_small = status.st_size <= LARGEST_FILE
                too_large = InvalidFile(f"has {status.st_size} bytes; accepted: {LARGEST_FILE} at most")
                self._text = self._path.read_text(encoding="utf-8") if is_small else too_large
                self._stamp = stamp
        except (OSError, UnicodeDecodeError) as error:
            self._text, self._stamp = InvalidFile(f"cannot be read: {error}"), None

    def _log_problem(self, problem: str | None) -> None:
        if problem != self.problem:
            if problem:
                log.error("the rules file is invalid, the rules before stay in force", reason=problem)
            else:
                log.info("the rules file is valid again")
        self.problem = problem


class RuleProvider:
    """The rules in force, as of the last time that they could be read."""

    def __init__(
        self,
        store: RuleStore,
        interval: int,
        path: Path | None,
        is_expected: Callable[[StateUpdate], bool] | None = None,
        *,
        only_reads: bool = False,
    ) -> None:
        self._store = store
        self._only_reads = only_reads
        """Whether another one looks after the file's rules."""
        self._interval = interval
        self._is_expected = is_expected
        self.engine = self._make_engine(DEFAULTS, ())
        self._file = RulesFile(path, interval) if path else None
        self._written: WrittenRules | None = None
        self._warned: tuple[str, ...] = ()
        """The faults of stored rules that were logged last."""
        self._outage = OutageLog()

    async def read(self) -> None:
        """Read which rules are in force, and write the file's rules to Redis where it holds others."""
        try:
            await self._read()
        except StoreAway:
            raise
        except StoreError as error:
            self._outage.log_failure("the rules cannot be read, those known before stay in force", str(error))
        else:
            self._outage.log_recovery()

    async def _read(self) -> None:
        stored = await self._store.read_rules()
        known = stored.written.file
        file: Mapping[str, str] = {}
        problem = None
        if self._file:
            self._file.read(stored.channels)
            file, problem = self._file.rules if self._file.rules is not None else known, self._file.problem
        if self._only_reads:
            file = known
        elif file != known or problem != stored.problem:
            await self._store.write_file_rules(file, problem)
        written = stored.written._replace(file=file)
        if written != self._written:
            self._apply(written)

    async def refresh(self) -> None:
        with suppress(StoreError, TimeoutError):  # the sampler logs that Redis is away
            async with asyncio.timeout(min(REFRESH_SECONDS, self._interval / 2)):
                await self.read()

    def _make_engine(self, rules: Iterable[Rule], silences: Iterable[Silence]) -> RuleEngine:
        if self._is_expected is None:
            return RuleEngine(rules, silences, self._interval)
        return RuleEngine(rules, silences, self._interval, self._is_expected)

    def _apply(self, written: WrittenRules) -> None:
        rule_set: RuleSet = read_rule_set(written, self._interval)
        for line in rule_set.wrong:
            if line not in self._warned:
                log.warning(line)
        self._warned = rule_set.wrong
        self.engine = self._make_engine(rule_set.rules, rule_set.silences.values())
        enabled = sum(rule.enabled for rule in rule_set.rules)
        write_log = log.debug if self._written is None else log.info
        write_log(
            "rules in force",
            rules=enabled,
            switched_off=len(rule_set.rules) - enabled,
            silences=len(rule_set.silences),
        )
        self._written = written
