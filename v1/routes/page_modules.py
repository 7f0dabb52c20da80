"""Which modules a view of the page is made of: a browser that is told all of them at once waits for them once."""

import re
from functools import cache
from pathlib import Path

MAIN = "main.js"
_IMPORT = re.compile(r"""^(?:import|export)\b[^;'"]*?["'](\.{1,2}/[^"']+)["']""", re.MULTILINE)
"""A static import; one that is made while the page runs, `import(...)`, is no statement and not among them."""


def list_modules(folder: Path, view: str) -> list[str]:
    """Return the modules that a view needs before it is drawn, as paths below `folder`, each before what it imports."""
    waiting = [MAIN, f"views/{view}/view.js"]
    found: dict[str, None] = {}
    while waiting:
        name = waiting.pop(0)
        if name not in found:
            found[name] = None
            waiting += _read_imports(folder, name)
    return [*found]


@cache  # the views have most of their modules in common, and none changes while a process runs
def _read_imports(folder: Path, name: str) -> list[str]:
    module = folder / name
    named = [(module.parent / written).resolve() for written in _IMPORT.findall(module.read_text())]
    return [str(each.relative_to(folder)) for each in named]
