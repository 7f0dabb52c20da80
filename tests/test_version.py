"""The version has one spelling, in the newest version's package; whatever else names it has it from there."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from v1.server.app import create_app
from v1.settings import Settings
from worker.delivery.notify.sessions import USER_AGENT
from worker.latest import __version__

ROOT = Path(__file__).resolve().parents[1]
NEWEST = (ROOT / "latest").resolve().name
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
HOME = f"{NEWEST}/__init__.py"
OF_OTHERS = (
    "CHANGELOG.md",
    "LICENSE",
    "requirements*.txt",
    "docs/adr/*",
    "tests/clients/*",
    "docs/reference/openapi.json",
)
"""
Files that hold the numbers of earlier versions, or those of other people's packages; and the OpenAPI document, which
is made from the code, and whose test fails where it was not made anew.
"""
NUMBER = re.compile(rf"(?<![\w.]){re.escape(__version__)}(?![\w.]*\d)")
USER_AGENT_NUMBER = re.compile(r"data-tracker[/:]\d")
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
SECTION = re.compile(r"^## \[(.+?)\](?: - (\d{4}-\d\d-\d\d))?$", re.MULTILINE)


def files() -> list[Path]:
    """Return every text file of the checkout but those that hold other numbers."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    paths = [Path(name) for name in names if name and not (ROOT / name).is_symlink() and not is_older(name)]
    return [path for path in paths if not any(path.match(pattern) for pattern in OF_OTHERS) and _is_text(ROOT / path)]


def is_older(name: str) -> bool:
    """Return whether a file has the number of an older version, which stays as it was at its last release."""
    return name != HOME and re.fullmatch(r"v\d+/__init__\.py", name) is not None


def _is_text(path: Path) -> bool:
    return path.is_file() and b"\0" not in path.read_bytes()


def lines_with(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{path}:{number}: {line}"
        for path in files()
        for number, line in enumerate((ROOT / path).read_text().splitlines(), 1)
        if pattern.search(line)
    ]


def test_the_version_is_spelt_once():
    assert lines_with(NUMBER) == [f'{HOME}:{line_of_version()}: __version__ = "{__version__}"']


def line_of_version() -> int:
    lines = (ROOT / HOME).read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if line.startswith("__version__ = "))


def test_no_file_spells_the_beginning_of_it_after_the_name_of_the_product():
    assert lines_with(USER_AGENT_NUMBER) == []


def test_the_wheel_has_it_from_the_newest_version():
    assert PYPROJECT["tool"]["hatch"]["version"] == {"path": f"./{HOME}"}
    assert "version" in PYPROJECT["project"]["dynamic"]
    assert "version" not in PYPROJECT["project"]


def test_the_api_and_the_worker_say_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)

    assert create_app(Settings()).version == __version__
    assert f"data-tracker/{__version__}" == USER_AGENT


def test_the_changelog_opens_with_what_is_unreleased_and_then_this_version():
    names = [name for name, _ in SECTION.findall(CHANGELOG)]

    assert names[:2] == ["Unreleased", __version__]


def test_the_changelog_has_one_section_for_each_version_newest_first():
    sections = SECTION.findall(CHANGELOG)
    numbers = [tuple(map(int, name.split("."))) for name, _ in sections[1:]]

    assert len(sections) == len(re.findall(r"^## ", CHANGELOG, re.MULTILINE))
    assert numbers == sorted(set(numbers), reverse=True)


def test_only_the_newest_version_may_be_without_the_date_of_its_release():
    dates = [date for _, date in SECTION.findall(CHANGELOG)[1:]]

    assert all(dates[1:])
    assert [date for date in dates if date] == sorted(filter(None, dates), reverse=True)


def test_the_changelog_sorts_changes_under_the_words_of_its_format():
    words = set(re.findall(r"^### (.+)$", CHANGELOG, re.MULTILINE))

    assert words <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
