"""The scripts that Redis runs for the store: Lua 5.1, one file each beside this module."""

from hashlib import sha1
from importlib.resources import files
from typing import NamedTuple


class Script(NamedTuple):
    """A script as Redis knows it."""

    text: str
    digest: str
    """The SHA-1 of the text, by which `EVALSHA` names it."""


def load_script(name: str) -> Script:
    """Return the script of a file beside this module, by its name without the ending."""
    text = files(__package__).joinpath(f"{name}.lua").read_text()
    return Script(text, sha1(text.encode(), usedforsecurity=False).hexdigest())


BRING_HOME = load_script("bring_home")
COMMIT_METRICS = load_script("commit_metrics")
GIVE_BACK_SHARE = load_script("give_back_share")
HOLD_FENCE = load_script("hold_fence")
RELEASE_FENCE = load_script("release_fence")
REPORT_WORKER = load_script("report_worker")
RUN_TOGETHER = load_script("run_together")
TAKE_SHARE = load_script("take_share")
