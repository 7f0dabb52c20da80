"""
What a machine may lack: programs of Debian's that no wheel brings (`redis-server`, `chromium`, `postgresql`,
`pgbouncer`, `nginx`, `npm`, `prometheus` for its `promtool`). Tests that need one are skipped without it, and one line
at the end says which, and how to get them.

`DATA_TRACKER_LACKS=redis-server,chromium` hides them from tests, and in CI allows these skips and no others.
`recordings` among them stands for the real data of `tests/support/shared.py`, and `package-index` for an index that
packages can be installed from.
"""

import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import pytest

VARIABLE = "DATA_TRACKER_LACKS"
PARTS = ("redis-server", "chromium", "postgresql", "pgbouncer", "nginx", "openssl", "npm", "prometheus")
"""By the names of their packages."""
PROGRAMS = {"prometheus": "promtool"}
"""The programs that are used of packages that are called otherwise."""
NEEDED = "needs Debian's "
DATA = "real data is missing"
RECORDINGS = "recordings"
INDEX = "package-index"
NOT_INSTALLED = "packages cannot be installed"
PACKAGE = "needs the package "
"""An extra of ours, which the environment of development holds."""


def is_hidden(part: str) -> bool:
    return part in os.environ.get(VARIABLE, "").split(",")


def program(part: str) -> Path | None:
    """Return the path of the program that is used of a part; `None` where there is none."""
    found = None if is_hidden(part) else shutil.which(PROGRAMS.get(part, part))
    return Path(found) if found else None


def skip(part: str) -> NoReturn:
    """Skip the test that needs a part."""
    assert part in PARTS
    pytest.skip(f"{NEEDED}{part}")


def needs_package(name: str) -> pytest.MarkDecorator:
    """Return the mark of tests that need a package which is an extra."""
    return pytest.mark.skipif(find_spec(name) is None, reason=f"{PACKAGE}{name}: {sys.executable} has it not")


def skip_without_packages(lock: str, reason: str) -> NoReturn:
    """Skip the test that needs the packages of a lock file, which cannot be installed for a reason."""
    pytest.skip(f"{NOT_INSTALLED}: those of {lock}: {reason}")


def is_allowed(reason: str) -> bool:
    """Return whether CI was told to do without what a test was skipped for."""
    marks = {**{part: f"{NEEDED}{part}" for part in PARTS}, RECORDINGS: DATA, INDEX: NOT_INSTALLED}
    return any(mark in reason and is_hidden(part) for part, mark in marks.items())


def told(reasons: Iterable[str]) -> str:
    """Return the line that sums up for what tests were skipped and how to get it; empty where nothing lacked."""
    found = [reason.removeprefix("Skipped: ") for reason in reasons]
    lacking = Counter(reason.removeprefix(NEEDED) for reason in found if reason.startswith(NEEDED))
    without_data = sum(reason.startswith(DATA) for reason in found)
    needs = [f"{count} that need {part}" for part, count in sorted(lacking.items())]
    needs += (
        [f"{without_data} that need the recordings (DATA_TRACKER_SHARED names their folder)"] if without_data else []
    )
    others = Counter(reason for reason in found if not reason.startswith((NEEDED, DATA)))
    needs += [f"{count} for another reason ({reason})" for reason, count in sorted(others.items())]
    get = f"; to get them: sudo apt-get install {' '.join(sorted(lacking))}" if lacking else ""
    return f"skipped tests: {', '.join(needs)}{get}" if needs else ""
