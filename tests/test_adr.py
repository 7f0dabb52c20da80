"""The decision records: numbered without gaps, complete, and in step with their index."""

import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "adr"
INDEX = (FOLDER / "README.md").read_text()
PAGES = sorted(path for path in FOLDER.iterdir() if path.name != "README.md")
SECTIONS = ("Context", "Decision", "Consequences")
PAGE = re.compile(r"# (\d{4})\. (.+)\n\n- Date: (\S+)\n- Status: (.+)\n\n(.+)\n\n## Context\n")
STATUS = re.compile(r"proposed|accepted|rejected|superseded by (\d{4})")


@dataclass(frozen=True, slots=True)
class Record:
    number: str
    title: str
    day: str
    status: str
    summary: str


def read(path: Path) -> Record:
    found = PAGE.match(path.read_text())
    assert found, f"{path.name} does not open with number, title, date, status and one sentence"
    return Record(*found.groups())


def section(path: Path, name: str) -> str:
    return path.read_text().partition(f"\n## {name}\n")[2].partition("\n## ")[0].strip()


def test_the_records_are_numbered_from_1_without_gaps():
    numbers = [path.name[:4] for path in PAGES]

    assert numbers == [f"{number:04}" for number in range(1, len(PAGES) + 1)]


def test_the_index_has_every_record_in_order_with_its_title_date_and_sentence():
    rows = [line for line in INDEX.splitlines() if line.startswith("| [")]

    assert rows == [
        f"| [{record.number}]({path.name}) | {record.title} | {record.day} | {record.summary} |"
        for path, record in ((path, read(path)) for path in PAGES)
    ]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_record_has_a_name_a_number_a_date_a_status_and_its_three_sections(path: Path):
    record = read(path)

    assert re.fullmatch(r"\d{4}(-[a-z0-9]+)+\.md", path.name)
    assert path.name.startswith(record.number)
    assert date.fromisoformat(record.day).isoformat() == record.day
    assert STATUS.fullmatch(record.status)
    assert tuple(re.findall(r"^## (.+)$", path.read_text(), re.MULTILINE)) == SECTIONS
    assert [name for name in SECTIONS if not section(path, name)] == []


def test_dates_follow_the_numbers():
    dates = [read(path).day for path in PAGES]

    assert dates == sorted(dates)


def test_a_superseded_record_names_one_that_exists():
    numbers = {read(path).number for path in PAGES}
    successors = [STATUS.fullmatch(read(path).status).group(1) for path in PAGES]

    assert {number for number in successors if number} <= numbers


def test_the_readme_leads_to_the_records():
    assert "docs/adr/README.md" in (ROOT / "README.md").read_text()
