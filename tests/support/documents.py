"""
The README and `docs/` as something that can be run: their fenced blocks, the commands in them, and the answers that
they show, held beside those that come. What follows a block's language says what is done with it; the table in
`docs/how-to/tests-and-checks.md` lists all of that. No test here.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from . import servers
from .borrowed import borrow_environment
from .cluster import find_first_port

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
PAGES = (README, *sorted((ROOT / "docs").rglob("*.md")))
FENCE = re.compile(r"^( *)```(\S*) ?(.*)$")
ADDRESS = re.compile(r"(127\.0\.0\.1:|http\.server )(8\d{3})\b")
FIRST_PORT = re.compile(r"(--first-port )(7\d{3})\b")
"""Where the first of several ports in a row is shown."""
DEMO_PORT = "8000"
SECONDS = 240.0
"""How long a command may take on a busy machine; most take one."""
ANYTHING = "..."
NUMBER = r"-?\d+(?:\.\d+)?(?:e-?\d+)?"

NOT_RUN, STAYS, ANSWER, SHAPE = "not run: ", "stays: ", "answer", "answer shape"


class Differs(AssertionError):
    """Something is not as a page says; the message names the page and the line."""


class Block(NamedTuple):
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    label: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def is_file(self) -> bool:
        return "." in self.label and " " not in self.label and self.label != ".env"

    @property
    def is_answer(self) -> bool:
        return self.label in (ANSWER, SHAPE)


def blocks_of(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order, each without the blanks of a list that it stands in."""
    found: list[Block] = []
    opened: tuple[int, str, str, str] | None = None
    kept: list[str] = []
    for number, line in enumerate(page.read_text().splitlines(), 1):
        fence = FENCE.match(line)
        if opened is None and fence:
            opened, kept = (number, fence[1], fence[2], fence[3]), []
        elif opened is not None and line.strip() == "```":
            start, _, language, label = opened
            found.append(Block(page, start, language, label, "".join(f"{each}\n" for each in kept)))
            opened = None
        elif opened is not None:
            kept.append(line.removeprefix(opened[1]))
    assert opened is None, f"{page}:{opened} is not closed"
    return found


def copied(folder: Path) -> Path:
    """Copy what git knows of this checkout, and what is new in it, as a clone would have it; return the folder."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in names.rstrip("\0").split("\0"):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    return folder


class Reader:
    """Does what a reader of a page does: in a checkout, with ports that nobody else has."""

    def __init__(self, checkout: Path) -> None:
        self.checkout = checkout
        self.said = ""
        """What the commands of the last block have printed."""
        self._ports: dict[str, int] = {}
        self._staying: list[tuple[subprocess.Popen[bytes], Path]] = []

    def ours(self, text: str) -> str:
        """Return a text with the ports that are really used."""
        text = FIRST_PORT.sub(lambda found: f"{found[1]}{self.first_port(found[2])}", text)
        return ADDRESS.sub(lambda found: f"{found[1]}{self.port(found[2])}", text)

    def port(self, shown: str) -> int:
        return self._ports.setdefault(shown, servers.free_port())

    def first_port(self, shown: str) -> int:
        return self._ports.setdefault(shown, find_first_port())

    def read(self, blocks: Sequence[Block]) -> None:
        """Do what the blocks of a page say. Raises `Differs` at the first that is not so."""
        try:
            for block in blocks:
                self._do(block)
        except Differs as differs:
            others = "".join(f"\n\nand what stays printed\n{log.read_text()}" for _, log in self._staying)
            raise Differs(f"{differs}{others}") from differs
        finally:
            while self._staying:
                end(self._staying.pop()[0])

    def _do(self, block: Block) -> None:
        if block.is_answer:
            compare(block, self.ours(block.text), self.said)
        elif block.is_file:
            (self.checkout / block.label).parent.mkdir(parents=True, exist_ok=True)
            (self.checkout / block.label).write_text(self.ours(block.text))
        elif block.language == "diff":
            change(block, self.checkout)
        elif block.language == "sh" and block.label.startswith(STAYS):
            self._keep(block, block.label.removeprefix(STAYS))
        elif block.language == "sh" and block.label in ("", "fails"):
            self._run(block)

    def _run(self, block: Block) -> None:
        with self.started(self.ours(block.text)) as (process, log):
            try:
                code = process.wait(SECONDS)
            except subprocess.TimeoutExpired:
                end(process)
                raise Differs(f"{block.place}: does not end; it printed\n{log.read_text()}") from None
            self.said = log.read_text()
        if (code != 0) != (block.label == "fails"):
            raise Differs(f"{block.place}: ended with {code}; it printed\n{self.said}")

    def _keep(self, block: Block, words: str) -> None:
        with self.started(self.ours(block.text)) as (process, log):
            self._staying.append((process, log))
            deadline = time.monotonic() + SECONDS
            while words not in log.read_text():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise Differs(f"{block.place}: never printed {words!r}, but\n{log.read_text()}")
                time.sleep(0.05)

    @contextmanager
    def started(self, commands: str) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
        """Start commands in a shell and a session of their own; give the process, and the file that it prints to."""
        log = self.checkout.parent / f"said-{time.monotonic_ns()}"
        with log.open("wb") as out:
            process = subprocess.Popen(
                ["bash", "-e", "-c", commands],
                cwd=self.checkout,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        yield process, log

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("TRACKER_", "GIT_"))}
        home = self.checkout.parent / "home"
        home.mkdir(exist_ok=True)
        bind = f"127.0.0.1:{self.port(DEMO_PORT)}"
        return {**kept, "HOME": str(home), "VENV": borrow_environment(), "TRACKER_BIND": bind}


def end(process: subprocess.Popen[bytes]) -> None:
    """Stop what a block has started, as Ctrl-C would, and see that it is gone."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def change(block: Block, checkout: Path) -> None:
    """Do to the files what a diff without line numbers says: what it takes away must be there, once."""
    path = checkout
    for line in block.text.splitlines():
        if line.startswith("+++ "):
            path = checkout / line.removeprefix("+++ ")
    for hunk in re.split(r"^@@.*\n", block.text, flags=re.MULTILINE)[1:]:
        lines = hunk.splitlines()
        before = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("+"))
        after = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("-"))
        text = path.read_text()
        if text.count(before) != 1:
            raise Differs(f"{block.place}: {path.name} has this {text.count(before)} times:\n{before}")
        path.write_text(text.replace(before, after))


# ---- answers ----------------------------------------------------------------------------------------------


def compare(block: Block, shown: str, said: str) -> None:
    """Raise `Differs` where an answer is not like the one that is shown."""
    if block.language == "json":
        try:
            faults = list(differences(json.loads(shown), json.loads(said), "", is_shape=block.label == SHAPE))
        except ValueError as error:
            raise Differs(f"{block.place}: {error} in\n{said}") from error
    else:
        pattern = "".join(_line(line, block) for line in shown.splitlines())
        faults = [] if re.search(rf"(?:^|\n){pattern}\s*\Z", said) else ["the end is another"]
    if faults:
        raise Differs(f"{block.place}: {'; '.join(faults)}. What came is\n{said}")


def _line(shown: str, block: Block) -> str:
    if shown == ANYTHING:
        return r"(?:.*\n)*?"
    parts = re.escape(shown).split(re.escape(ANYTHING))
    if block.language == "csv":
        parts = [re.sub(r"\d+(?:\\\.\d+)?", lambda _: NUMBER, part) for part in parts]
    if block.label == SHAPE:
        parts = [re.sub(r'"[^"]*"', '"[^"]*"', part) for part in parts]
    return f"{'.*'.join(parts)}\n"


def differences(shown: Any, came: Any, path: str, *, is_shape: bool) -> Iterator[str]:
    """Say where an answer in JSON has other fields, types or texts; of numbers the value may be another."""
    if shown == ANYTHING or (is_number(shown) and is_number(came)):
        return
    parts: Iterable[tuple[str, Any, Any]] = ()
    if isinstance(shown, dict) and isinstance(came, dict):
        parts = [(f"{path}.{name}", shown[name], came[name]) for name in shown.keys() & came.keys()]
        is_like = [*shown] == [*came]
    elif isinstance(shown, list) and isinstance(came, list):
        items = shown[: shown.index(ANYTHING)] if ANYTHING in shown else shown
        parts = [(f"{path}[{place}]", *pair) for place, pair in enumerate(zip(items, came, strict=False))]
        is_like = len(came) == len(items) or (len(came) > len(items) and items is not shown)
    else:
        is_like = type(shown) is type(came) and (shown == came or (is_shape and isinstance(shown, str)))
    if not is_like:
        yield f"{path or 'the answer'} is {came!r}, not {shown!r}"
    for inner, one, other in parts:
        yield from differences(one, other, inner, is_shape=is_shape)


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


# ---- links ------------------------------------------------------------------------------------------------


def links_of(page: Path) -> Iterator[tuple[str, str]]:
    """Find the links of a page to other files and to headings: the path and the anchor, either may be empty."""
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", text)):
        if "://" not in target:
            path, _, anchor = target.partition("#")
            yield path, anchor


def anchors_of(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
