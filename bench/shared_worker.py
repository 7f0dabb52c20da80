"""
`python -m bench.shared_worker`: the worker, whose simulated exchange is the market of a measurement. What is missing of
the day at the start is not filled in: that day is as full as the measurement has made it.
"""

import asyncio

from bench.shared_market import MadeSource
from worker import __main__ as worker
from worker.backfill.service import BackfillService
from worker.cli import wiring


async def fill_nothing(_: BackfillService) -> None:
    """Wait for ever."""
    await asyncio.Event().wait()


def main() -> None:
    wiring.SimulatedSource = MadeSource  # type: ignore[misc,assignment]  # as a source it is the same
    BackfillService.run = fill_nothing  # type: ignore[method-assign]
    worker.main()


if __name__ == "__main__":
    main()
