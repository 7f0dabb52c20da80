"""Prints lines for whoever typed a command, and finds the name that it was typed by."""

import os
import sys


def print_line(text: str) -> None:
    """Print a line; do nothing where nobody reads it any more (a closed terminal, a closed pipe)."""
    try:
        print(text, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python would fail of it at its own end


def get_typed_name(name: str) -> str:
    """Return the script or command as it was typed; `name` where no script was."""
    return os.environ.get("DATA_TRACKER_TYPED", name)
