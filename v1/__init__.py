"""
Version 1 of data-tracker: what a metric is, how its numbers are kept, and what HTTP says of them.

Everything a reader of our data can rely on is decided in this package, and stays as it is
once the version is released. It is imported by its own name only.
"""

from pathlib import Path

__version__ = "1.0.0"

# `latest` is a link to this folder. Imported through it, every class would exist twice
# and `except` would miss its own exceptions, so that is refused here.
_home = Path(__file__).resolve().parent.name
if __name__ != _home:
    raise ImportError(f"import {_home}, not {__name__}: a symlink is not a second package")
