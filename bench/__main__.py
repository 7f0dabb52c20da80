"""`python -m bench [name...]`: measure all that docs/measurements.md claims, or what is named. No measurement is made here."""

import argparse
import signal
import sys
import time
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from bench import report, soak

NAMES = (
    "moments",
    "memory",
    "tick",
    "replays",
    "killed",
    "restart",
    "newcomer",
    "delivery",
    "archive",
    "archive_killed",
    "archive_size",
    "backup",
    "alerts",
    "toplist",
    "outage",
    "budget",
    "ledger",
    "cluster",
    "cluster_api",
    "cluster_faults",
    "cluster_load",
    "contract",
    "stream",
    "streams",
    "api",
    "page",
    "soak",
)
LASTING = ("cluster_load", "soak")
"""Those whose length is asked for."""
RESULTS = Path(__file__).with_name("results.md")


def main() -> int:
    parser = argparse.ArgumentParser("scripts/bench.sh", description="Measure what docs/measurements.md claims.")
    parser.add_argument("names", nargs="*", metavar="name", help=f"any of: {', '.join(NAMES)}; without a name all")
    parser.add_argument("--append", action="store_true", help=f"put the tables at the end of {RESULTS.name}, too")
    parser.add_argument("--minutes", type=float, default=soak.MINUTES, help="how long soak and cluster_load take")
    given = parser.parse_args()
    unknown = [name for name in given.names if name not in NAMES]
    if unknown:
        parser.error(f"there is no measurement {unknown[0]!r}, only: {', '.join(NAMES)}")
    # Stopped politely, a measurement takes its servers along.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(128 + signal.SIGTERM))
    missed = False
    for name in given.names or NAMES:
        figures, text = measured(name, **({"minutes": given.minutes} if name in LASTING else {}))
        print(text, flush=True)
        missed = missed or any(figure.met is False for figure in figures)
        if given.append:
            with RESULTS.open("a", encoding="utf-8") as results:
                results.write(f"{text}\n")
    return int(missed)


def measured(name: str, **options: float) -> tuple[list[report.Figure], str]:
    """Take one measurement; return its figures, and all there is to say of them as Markdown."""
    module = import_module(f"bench.{name}")
    began, machine = time.monotonic(), report.machine()
    figures = list(module.measure(**options))
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    claim = (module.__doc__ or "").strip()
    how = f"`scripts/bench.sh {name}`, {when}, {time.monotonic() - began:.0f} s. {machine}."
    return figures, f"\n## {name}\n\n{claim}\n\n{how}\n\n{report.table(figures)}"


if __name__ == "__main__":
    sys.exit(main())
