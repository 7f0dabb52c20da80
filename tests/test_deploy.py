"""The unit for systemd, and what its page says: settings and paths that exist, and a unit that systemd takes."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from worker.settings import WorkerSettings

ROOT = Path(__file__).resolve().parents[1]
UNIT = ROOT / "deploy" / "data-tracker.service"
PAGE = (ROOT / "docs" / "how-to" / "secrets-in-files.md").read_text()
INSTALLED = "/opt/data-tracker"
SECRETS = {name.upper() for name in WorkerSettings.secret_names}


def directives() -> dict[str, list[str]]:
    """Return what the unit says, by directive; what is commented out is meant to be used, too."""
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^#?([A-Z]\w+)=(.*)$", UNIT.read_text(), re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


def test_the_unit_runs_what_is_in_the_checkout_and_sets_what_exists():
    told = directives()
    names = [value.partition("=")[0] for value in told["Environment"]]
    settings = {f"TRACKER_{name.upper()}" for name in WorkerSettings.model_fields}
    settings |= {f"TRACKER_{name}_FILE" for name in SECRETS}

    (command,) = told["ExecStart"]
    script = ROOT / Path(command).relative_to(INSTALLED)
    assert os.access(script, os.X_OK)
    assert told["WorkingDirectory"] == [INSTALLED]
    assert {*names} - {"VENV"} <= settings
    # Only start.sh is told to stop; its parts would otherwise all stop at once, the database among them.
    assert told["KillMode"] == ["mixed"]
    assert told["RestartPreventExitStatus"] == ["2"]


def test_systemd_takes_the_unit(tmp_path: Path):
    verify = shutil.which("systemd-analyze")
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace(INSTALLED, str(ROOT)))
    sections = re.findall(r"^\[(\w+)\]$", unit.read_text(), re.MULTILINE)

    checked = subprocess.run([verify, "verify", unit], capture_output=True, text=True) if verify else None

    assert sections == ["Unit", "Service", "Install"]
    assert checked is None or (
        checked.returncode,
        [line for line in checked.stderr.splitlines() if UNIT.name in line],
    ) == (0, [])


def test_the_page_names_every_secret_setting():
    assert set(re.findall(r"`TRACKER_([A-Z_]+)_FILE`", PAGE)) == SECRETS
