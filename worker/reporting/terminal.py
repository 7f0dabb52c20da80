"""Prints lines for whoever typed a command, and finds the name that it was typed by."""

import os
import sys

TYPED = "DATA_TRACKER_TYPED"
"""Set by the script that was typed, to its name: what the help calls the program behind it."""


def print_line(text: str) -> None:
    """Print a line; do nothing where nobody reads it any more (a closed terminal, a closed pipe)."""
    try:
        print(text, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python would fail of it at its own end


def get_typed_name(name: str) -> str:
    """Return the script or command as it was typed; `name` where no script was."""
    return os.environ.get(TYPED, name)


def name_command(command: str) -> str:
    """Return how to type a command: as a script where a script was typed, else as a command of the worker."""
    if TYPED in os.environ:
        return f"scripts/{command}.sh"
    return "python -m worker" if command == "start" else f"python -m worker {command}"
