"""The scripts that Redis runs for the store: Lua 5.1, one file each beside this module."""

from hashlib import sha1
from importlib.resources import files
from typing import NamedTuple


class Script(NamedTuple):
    """A script as Redis knows it."""

    text: str
    digest: str
    """The SHA-1 of the text, by which `EVALSHA` names it."""


def load_script(*names: str) -> Script:
    """Return the script of files beside this module, one after the other, by their names without the ending."""
    text = "".join(files(__package__).joinpath(f"{name}.lua").read_text() for name in names)
    return Script(text, sha1(text.encode(), usedforsecurity=False).hexdigest())


_FENCED = "check_fence"
"""How a script begins that changes nothing unless the fence is the caller's."""

BRING_HOME = load_script(_FENCED, "bring_home")
COMMIT_METRICS = load_script(_FENCED, "commit_metrics")
GIVE_BACK_SHARE = load_script("give_back_share")
HOLD_FENCE = load_script("hold_fence")
RELEASE_FENCE = load_script("release_fence")
REPORT_WORKER = load_script("report_worker")
RUN_TOGETHER = load_script(_FENCED, "run_together")
TAKE_SHARE = load_script("take_share")
