"""
An environment for scripts that tests run: it finds the packages of the environment that the tests themselves run in,
and nothing that a script installs can change that one, whichever lock its checkout has.
"""

import shutil
import sys
import sysconfig
import tempfile
import venv
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_folders: list[tempfile.TemporaryDirectory[str]] = []
"""Are removed when the process ends."""


@cache
def borrow_environment() -> str:
    """Return the path of the environment, for `VENV`; it is made once a process, and has the locks of this checkout."""
    _folders.append(tempfile.TemporaryDirectory(prefix="data-tracker-"))
    return str(make_environment(Path(_folders[-1].name, "venv")))


def make_environment(folder: Path) -> Path:
    """
    Make an environment in `folder`, and return it.

    The scripts look for the copies of the locks and install nothing. If they do nevertheless, pip writes into `folder`:
    the packages are borrowed by a path file, none of their files is linked to.
    """
    venv.create(folder, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    borrowed = sysconfig.get_path("purelib")
    (packages / "borrowed.pth").write_text(f"import site; site.addsitedir({borrowed!r})\n")
    for lock in ROOT.glob("requirements*.txt"):
        shutil.copyfile(lock, folder / lock.name)
    for tool in Path(sys.prefix, "bin").iterdir():
        # Each begins with the path of the Python that it is for.
        if not (folder / "bin" / tool.name).exists() and not tool.name.startswith("python"):
            (folder / "bin" / tool.name).symlink_to(tool)
    return folder
