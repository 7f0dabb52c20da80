"""
Makes the Python environment of a checkout, once, whoever asks first. Runs before there is one, so it knows
nothing but the standard library.
"""

import fcntl
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterable
from pathlib import Path
from time import monotonic

UNFINISHED = "unfinished"
"""Lies in an environment while it is being made. Found by the next script, it says that one was killed there."""
RUNTIME = "requirements.txt"
DEVELOPMENT = "requirements-dev.txt"
INSTALLERS = ("pip", "setuptools", "wheel")
NEW_ENOUGH = "import sys; sys.exit(sys.version_info < (3, 11))"


def main(place: str, requirements: str) -> None:
    folder = Path(place).absolute()
    # This very file is the lock: it is always there, and nobody deletes it.
    with Path(__file__).open() as lock:
        lock_environment(lock.fileno())
        if not is_ready(folder, requirements):
            make(folder, requirements)


def lock_environment(lock: int) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("another script is making the Python environment; waiting for it")
        fcntl.flock(lock, fcntl.LOCK_EX)


def is_ready(folder: Path, requirements: str) -> bool:
    stamp = folder / requirements
    return stamp.exists() and stamp.read_bytes() == Path(requirements).read_bytes() and find_python(folder).exists()


def make(folder: Path, requirements: str) -> None:
    started = monotonic()
    say(f"making the Python environment in {folder} (once; about half a minute)")
    prepare(folder)
    (folder / UNFINISHED).touch()
    for stamp in (RUNTIME, DEVELOPMENT):
        (folder / stamp).unlink(missing_ok=True)
    if not (folder / "pyvenv.cfg").exists() or not find_python(folder).exists():
        venv.create(folder)
    # The installer of this Python may be years old. It is needed once, so it stays outside.
    with tempfile.TemporaryDirectory(prefix="data-tracker-") as tools:
        venv.create(tools, with_pip=True)
        drop_installers(folder, Path(tools), requirements)
        install(folder, Path(tools), Path(requirements))
    # The lock of development holds all of the runtime's, to the same digit (tests/test_scripts.py).
    for stamp in {RUNTIME, requirements}:
        shutil.copyfile(stamp, folder / stamp)
    (folder / UNFINISHED).unlink()
    say(f"the Python environment is ready ({monotonic() - started:.0f} s)")


def prepare(folder: Path) -> None:
    """Leave in `folder` nothing, or an environment that can be built upon."""
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = (folder / UNFINISHED).exists()
    if any(folder.iterdir()) and not unfinished and not (folder / "pyvenv.cfg").exists():
        sys.exit(f"VENV: {folder} is neither empty nor a Python environment; name another place")
    if unfinished or not find_python(folder).exists():
        clear(folder)
    elif subprocess.run([find_python(folder), "-c", NEW_ENOUGH], check=False).returncode:
        sys.exit(f"the environment in {folder} holds a Python before 3.11; remove it, or name another place as VENV")


def find_python(folder: Path) -> Path:
    return folder / "bin" / "python"


def clear(folder: Path) -> None:
    for entry in folder.iterdir() if folder.exists() else ():
        if entry.name == UNFINISHED:
            continue
        shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


def drop_installers(folder: Path, tools: Path, requirements: str) -> None:
    """Remove what environments were made with before and nothing here needs at run time, unless it is locked."""
    locked = set(re.findall(r"^([\w.-]+)==", Path(requirements).read_text(), re.MULTILINE))
    installed = {path.name.partition("-")[0] for path in folder.glob("lib/python*/site-packages/*.dist-info")}
    old = [name for name in INSTALLERS if name in installed - locked]
    if old:
        command = [str(find_python(tools)), "-m", "pip", "--python", str(folder), "uninstall", "--quiet", "--yes", *old]
        subprocess.run(command, check=True)


def install(folder: Path, tools: Path, requirements: Path) -> None:
    """Install what the lock names, whole and checked by its hashes, and show how far it is."""
    command = [
        str(find_python(tools)),
        "-m",
        "pip",
        "--python",
        str(folder),
        "install",
        "--require-hashes",
        "--no-deps",
        "--requirement",
        str(requirements),
    ]
    quiet = ["--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
    wanted = len(re.findall(r"^[\w.-]+(\[.*\])?==", requirements.read_text(), re.MULTILINE))
    with subprocess.Popen([*command, *quiet], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as pip:
        touched, said = follow(pip.stdout or (), wanted)
    if pip.returncode:
        if not touched:
            (folder / UNFINISHED).unlink()
        sys.exit(f"{said}\nThe packages could not be installed; pip says why above. Then run the same again.")


def follow(lines: Iterable[str], wanted: int) -> tuple[bool, str]:
    """Show pip's progress in one line; return whether it came to change anything, and its last words."""
    fetched, touched, said = 0, False, [""]
    for line in lines:
        said = [*said[-8:], line.rstrip()]
        if line.startswith(("Collecting", "Requirement already", "Ignoring")):
            fetched += 1
            show(f"  {fetched} of {wanted} packages")
        elif line.startswith("Installing collected"):
            touched = True
            show(f"  unpacking {wanted} packages\n")
        elif line.startswith("WARNING: Retrying"):
            show("  the package index does not answer; trying again\n")
    return touched, "\n".join(said)


def show(text: str) -> None:
    if sys.stderr.isatty() or text.endswith("\n"):
        sys.stderr.write(f"\r\033[K{text}" if sys.stderr.isatty() else text)
        sys.stderr.flush()


def say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit("\nstopped; the next script starts over")
    except OSError as error:
        sys.exit(f"the Python environment cannot be made: {error}")
