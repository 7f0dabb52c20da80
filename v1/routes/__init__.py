"""HTTP: one module per subject, each a thin layer over the store's `Reader` and the archive's."""

from fastapi import APIRouter

from . import (
    alerts,
    backtest,
    candles,
    gaps,
    health,
    history,
    message_tests,
    metrics,
    rank_history,
    ranks,
    rule_set,
    rules,
    series_list,
    silences,
    snapshot,
    sources,
    top,
    whoami,
    workers,
)
from .stream import endpoints as stream

router = APIRouter()
"""Everything that is served under the version's own name."""
for subject in (
    metrics,
    snapshot,
    history,
    series_list,
    candles,
    gaps,
    ranks,
    rank_history,
    backtest,
    rules,
    message_tests,
    rule_set,
    alerts,
    silences,
    sources,
    top,
    stream,
    whoami,
    workers,
):
    router.include_router(subject.router)

health_router = health.router
