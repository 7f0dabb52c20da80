"""What a measurement says: its figures beside their targets, as Markdown, and the machine they were taken on."""

import os
import platform
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

HEAD = "| what | measured | to reach | how |\n|---|---|---|---|"


class Figure(NamedTuple):
    """One row of a table."""

    what: str
    measured: str
    target: str
    """What it must come to, in words; "" where it stands only to be compared with."""
    met: bool | None
    how: str
    """What was compared with what, how often, on what."""


def at_most(what: str, measured: float, target: float, unit: str, how: str) -> Figure:
    """Make the row of a figure that must not be larger than its target."""
    return Figure(what, f"{measured:.3g}{unit}", f"at most {target:g}{unit}", measured <= target, how)


def at_least(what: str, measured: float, target: float, unit: str, how: str) -> Figure:
    """Make the row of a figure that must not be smaller than its target."""
    return Figure(what, f"{measured:.3g}{unit}", f"at least {target:g}{unit}", measured >= target, how)


def beside(what: str, measured: str, how: str) -> Figure:
    """Make the row of a figure that has no target."""
    return Figure(what, measured, "", None, how)


def table(figures: Iterable[Figure]) -> str:
    """Write the figures as a table of Markdown."""
    return "\n".join([HEAD, *[_row(figure) for figure in figures]])


def _row(figure: Figure) -> str:
    missed = " **(missed)**" if figure.met is False else ""
    return f"| {figure.what} | {figure.measured}{missed} | {figure.target} | {figure.how} |"


def machine() -> str:
    """Say what the figures were taken on, and how busy it was just now."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("redis", "hiredis", "uvloop"))
    return (
        f"{_processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.2f}; "
        f"Python {platform.python_version()}, {packages}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
