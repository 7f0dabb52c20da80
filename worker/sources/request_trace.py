"""Tells of every request to a provider: its host, the status of the answer, and how long it took."""

from collections.abc import Callable
from time import perf_counter
from types import SimpleNamespace

from aiohttp import (
    ClientSession,
    TraceConfig,
    TraceRequestEndParams,
    TraceRequestExceptionParams,
    TraceRequestStartParams,
)

RecordRequest = Callable[[str, int | None, float], None]
"""Takes a host, the status of its answer or `None` where there was none, and seconds."""


def make_request_trace(record: RecordRequest) -> TraceConfig:
    """Return what tells `record` of every request of a session."""

    async def note_start(_session: ClientSession, context: SimpleNamespace, _: TraceRequestStartParams) -> None:
        context.began = perf_counter()

    async def note_answer(_session: ClientSession, context: SimpleNamespace, params: TraceRequestEndParams) -> None:
        record(params.url.host or "", params.response.status, perf_counter() - context.began)

    async def note_failure(
        _session: ClientSession, context: SimpleNamespace, params: TraceRequestExceptionParams
    ) -> None:
        record(params.url.host or "", None, perf_counter() - context.began)

    trace = TraceConfig()
    trace.on_request_start.append(note_start)
    trace.on_request_end.append(note_answer)
    trace.on_request_exception.append(note_failure)
    return trace
