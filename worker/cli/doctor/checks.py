"""Runs checks side by side, and no longer than it may take: what does not answer by then is a finding itself."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from worker.cli.doctor.findings import Finding, make_problem

QUIET_SECONDS = 2.0
"""Nothing is said of progress before, nor more often."""

ShowWaiting = Callable[[Sequence[str], float], None]
"""Takes the names of the checks that are not over, and after how many seconds."""


class HealthCheck(NamedTuple):
    """Something to look at."""

    name: str
    run: Callable[[], Awaitable[Sequence[Finding]]]
    """Returns what was found; raises nothing that can be expected."""


class CheckRun(NamedTuple):
    """What came of all checks."""

    findings: Sequence[Finding]
    """In the order of the checks."""
    unanswered: Sequence[str]
    """Those that were not over in time."""


async def run_checks(checks: Sequence[HealthCheck], seconds: float, show: ShowWaiting) -> CheckRun:
    """Run all checks at once, for `seconds` at most; `show` is told now and then which ones are not over."""
    tasks = [(check.name, asyncio.ensure_future(check.run())) for check in checks]
    waited, pending = 0.0, {task for _, task in tasks}
    while pending and waited < seconds:
        step = min(QUIET_SECONDS, seconds - waited)
        _, pending = await asyncio.wait(pending, timeout=step)
        waited += step
        if pending and waited < seconds:
            show([name for name, task in tasks if task in pending], waited)
    for task in pending:
        task.cancel()
    findings: list[Finding] = []
    for name, task in tasks:
        if task in pending:
            findings.append(make_problem(name, f"no answer in {seconds:g} s", "look at what is between here and there"))
        else:
            findings += task.result()
    return CheckRun(findings, [name for name, task in tasks if task in pending])


async def run_in_thread(work: Callable[[], Sequence[Finding]]) -> Sequence[Finding]:
    """
    Run what may block, such as a disk that does not answer, in a thread that nobody waits for at the end.

    A thread of the loop's own pool would be waited for.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Sequence[Finding]] = loop.create_future()

    def settle(found: Sequence[Finding] | None, error: Exception | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(found or ())

    def run() -> None:
        try:
            found, error = work(), None
        except Exception as raised:  # noqa: BLE001  # handed on to whoever waits
            found, error = (), raised
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, found, error)

    threading.Thread(target=run, daemon=True).start()
    return await future
