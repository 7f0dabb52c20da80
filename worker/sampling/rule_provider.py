"""The rules in force: those in Redis, of the API and by default, and those of a file. Kept up to date, judged elsewhere."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import structlog

from worker.latest import (
    DEFAULTS,
    LARGEST_FILE,
    NO_RULES,
    InvalidFile,
    Rule,
    RuleEngine,
    RuleSet,
    RuleStore,
    Silence,
    StateUpdate,
    StoreAway,
    StoreError,
    WrittenRules,
    read_rule_set,
    read_rules_file,
    write_rule,
)
from worker.reporting.outage_log import OutageLog

log = structlog.get_logger()

PATIENCE = 2.0
"""Seconds that reading the rules may take beside asking the sources; then those known before are used."""


class RuleSource(Protocol):
    """Who gives the rules to judge a tick by."""

    @property
    def engine(self) -> RuleEngine:
        """The rules that are in force now."""
        ...

    async def read(self) -> None:
        """Learn what is in force. Raises `StoreAway`; then what was known before still is."""
        ...

    async def refresh(self) -> None:
        """Do so if it can be done quickly; never raises."""
        ...


class FixedRules:
    """The same rules for ever."""

    def __init__(self, engine: RuleEngine = NO_RULES) -> None:
        self.engine = engine

    async def read(self) -> None:
        return

    async def refresh(self) -> None:
        return


class RulesFile:
    """A file of rules: read again when it changes. While it is broken, the rules that were in it before hold."""

    def __init__(self, path: Path, interval: int) -> None:
        self._path = path
        self._interval = interval
        self._stamp: object = None
        self._text: str | InvalidFile = ""
        self._parsed: object = None
        self.rules: dict[str, str] | None = None
        """As they are kept, by id; `None` while the file has never been right."""
        self.problem: str | None = None

    def read(self, channels: frozenset[str] | None) -> None:
        """See what the file says now; rules may name `channels`."""
        self._read()
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

    def _read(self) -> None:
        """Read the text, or why it cannot be read, if the file is not what it was."""
        try:
            found = self._path.stat()
            stamp = found.st_mtime_ns, found.st_size, found.st_ino
            if stamp != self._stamp:
                is_small = found.st_size <= LARGEST_FILE
                too_large = InvalidFile(f"has {found.st_size} bytes; accepted: {LARGEST_FILE} at most")
                self._text = self._path.read_text(encoding="utf-8") if is_small else too_large
                self._stamp = stamp
        except (OSError, UnicodeDecodeError) as error:
            self._text, self._stamp = InvalidFile(f"cannot be read: {error}"), None

    def _log_problem(self, problem: str | None) -> None:
        if problem != self.problem:
            if problem:
                log.error("the file of rules is wrong, and the rules before hold", reason=problem)
            else:
                log.info("the file of rules is right again")
        self.problem = problem


class RuleProvider:
    """What is in force, as of the last time that it could be read."""

    def __init__(
        self,
        shelf: RuleStore,
        interval: int,
        path: Path | None,
        is_expected: Callable[[StateUpdate], bool] | None = None,
    ) -> None:
        self._shelf = shelf
        self._interval = interval
        self._is_expected = is_expected
        self.engine = self._engine(DEFAULTS, ())
        self._file = RulesFile(path, interval) if path else None
        self._written: WrittenRules | None = None
        self._told: tuple[str, ...] = ()
        self._outage = OutageLog()

    async def read(self) -> None:
        """Learn what is in force, and say what the file holds where Redis knows otherwise."""
        try:
            await self._read()
        except StoreAway:
            raise
        except StoreError as error:
            self._outage.log_failure("the rules cannot be read, and those known before hold", str(error))
        else:
            self._outage.log_recovery()

    async def _read(self) -> None:
        shelved = await self._shelf.read_rules()
        known = shelved.written.file
        file: Mapping[str, str] = {}
        problem = None
        if self._file:
            self._file.read(shelved.channels)
            file, problem = self._file.rules if self._file.rules is not None else known, self._file.problem
        if file != known or problem != shelved.problem:
            await self._shelf.write_file_rules(file, problem)
        written = shelved.written._replace(file=file)
        if written != self._written:
            self._settle(written)

    async def refresh(self) -> None:
        with suppress(StoreError, TimeoutError):  # whoever commits tells that Redis is away
            async with asyncio.timeout(min(PATIENCE, self._interval / 2)):
                await self.read()

    def _engine(self, rules: Iterable[Rule], silences: Iterable[Silence]) -> RuleEngine:
        if self._is_expected is None:
            return RuleEngine(rules, silences, self._interval)
        return RuleEngine(rules, silences, self._interval, self._is_expected)

    def _settle(self, written: WrittenRules) -> None:
        book: RuleSet = read_rule_set(written, self._interval)
        for line in book.wrong:
            if line not in self._told:
                log.warning(line)
        self._told = book.wrong
        self.engine = self._engine(book.rules, book.silences.values())
        enabled = sum(rule.enabled for rule in book.rules)
        tell = log.debug if self._written is None else log.info
        tell("rules in force", rules=enabled, switched_off=len(book.rules) - enabled, silences=len(book.silences))
        self._written = written
