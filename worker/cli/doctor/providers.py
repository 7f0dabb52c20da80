"""Looks at everybody who is asked over the network: sources, providers of the top list, channels, the heartbeat."""

from collections.abc import Awaitable, Callable, Sequence

from worker.cli.doctor.checks import HealthCheck
from worker.cli.doctor.findings import WORKER, Finding, make_ok, make_problem, make_warning
from worker.delivery.notify.base import Notifier, NotSent, ValidatingNotifier
from worker.latest.settings import PREFIX
from worker.sources.base import AccessReport
from worker.sources.errors import SourceError
from worker.sources.supervised import suggest_remedy

HEARTBEAT = "heartbeat"


def make_source_check(name: str, read_access: Callable[[], Awaitable[AccessReport]] | None) -> HealthCheck:
    """Return the check of a provider that is sampled, or of one of the top list; `None`: there is nobody to ask."""

    async def run() -> Sequence[Finding]:
        if read_access is None:
            return [make_ok(name, "it is made up here, and asks nobody")]
        try:
            access = await read_access()
        except SourceError as error:
            return [make_problem(name, str(error), suggest_remedy(name, error))]
        if access.warning:
            return [make_warning(name, access.warning, access.advice or "")]
        return [make_ok(name, access.text)]

    return HealthCheck(name, run)


def make_stream_check(source: str, find_fault: Callable[[], Awaitable[str | None]]) -> HealthCheck:
    """Return the check of a source's stream, which `find_fault` opens and closes again."""
    name = f"{source} stream"

    async def run() -> Sequence[Finding]:
        fault = await find_fault()
        if fault is None:
            return [make_ok(name, "it can be opened")]
        advice = f"see whether this machine reaches {PREFIX}{source.upper()}_STREAM_URL: network, DNS, proxy, firewall"
        # Ticks are asked for meanwhile.
        return [make_warning(name, f"it cannot be opened: {fault}", advice)]

    return HealthCheck(name, run)


def make_channel_check(notifier: Notifier) -> HealthCheck:
    """Return the check of a channel: its credentials, or its host; nothing is sent to anybody."""
    name = f"channel {notifier.name}"

    async def run() -> Sequence[Finding]:
        if not isinstance(notifier, ValidatingNotifier):
            return [make_ok(name, f"its address can be read; `{WORKER} notify test` sends through it")]
        try:
            answer = await notifier.validate()
        except NotSent as error:
            return [make_problem(name, str(error), "compare its settings with what the provider shows")]
        if answer.quota is not None and answer.quota.remaining == 0:
            return [make_problem(name, answer.text, "no message is accepted before the month is over")]
        return [make_ok(name, answer.text)]

    return HealthCheck(name, run)


def make_heartbeat_check(ask: Callable[[], Awaitable[str | None]]) -> HealthCheck:
    """Return the check of the heartbeat's host, which `ask` returns the fault of."""

    async def run() -> Sequence[Finding]:
        fault = await ask()
        if fault is not None:
            return [make_problem(HEARTBEAT, fault, "see whether this machine reaches TRACKER_HEARTBEAT_URL")]
        return [make_ok(HEARTBEAT, "its host answers")]

    return HealthCheck(HEARTBEAT, run)
