"""
`python -m bench.shared_worker`: the worker, whose simulated exchange is the market of a measurement. What is missing of
the day at the start is not filled in: that day is as full as the measurement has made it.
"""

import asyncio

from bench.shared_market import MadeSource
from worker import __main__ as worker
from worker.backfill.service import BackfillService
from worker.cli import wiring
from worker.sources.simulated import SimulatedSource


async def fill_nothing(_: BackfillService) -> None:
    """Wait for ever."""
    await asyncio.Event().wait()


def main() -> None:
    # As a source it is the same.
    setattr(wiring, SimulatedSource.__name__, MadeSource)
    setattr(BackfillService, BackfillService.run.__name__, fill_nothing)
    worker.main()


if __name__ == "__main__":
    main()
