"""What a script says to whoever typed it, a line at a time, and the name it was typed by."""

import os
import sys


def print_line(text: str) -> None:
    """Print a line. Where nobody reads any more (a closed terminal, a pipe that ended), go on without."""
    try:
        print(text, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python would fail of it at its own end


def typed_as(name: str) -> str:
    """Return how the script behind which we run was typed; `name` where there is none."""
    return os.environ.get("DATA_TRACKER_TYPED", name)
