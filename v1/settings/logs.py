"""
Configures the log of a process, as its settings say: one event a line, for people or as JSON.

Whatever is logged is redacted and cut to a bounded length: no line shows a secret of the settings, and no text from
outside fills the disk.
"""

import logging
import sys
import threading
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any, TextIO

import structlog

from . import Settings
from .redaction import redact

LONGEST = 16_000
"""Characters of one event, with its traceback. Of a longer one the beginning and the end are kept."""

log = structlog.get_logger()


def configure_logs(settings: Settings) -> None:
    """
    Send every log line, ours and the libraries', where the settings say, without any of their secrets.

    Raises `OSError` when the log file cannot be opened.
    """
    redact.remember(settings.secrets, settings.addresses)
    # The file stays open for the life of the process; the handler closes it at exit.
    stream = settings.log_file.open("a", encoding="utf-8") if settings.log_file else sys.stderr
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _Written(settings, stream)],
        )
    )
    logging.basicConfig(handlers=[handler], level=settings.log_level.upper(), force=True)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    sys.excepthook = partial(_log_uncaught, is_elsewhere=stream is not sys.stderr)
    threading.excepthook = _log_uncaught_in_thread


class _Written:
    """
    Writes an event as text, its traceback as Python writes it.

    Never with the values of variables: rich shows those, which took 9 seconds, and the caller's key was among them.
    """

    def __init__(self, settings: Settings, stream: TextIO) -> None:
        self._renderer: Callable[..., str | bytes] = (
            structlog.processors.JSONRenderer()
            if settings.log_format == "json"
            else structlog.dev.ConsoleRenderer(
                colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback
            )
        )

    def __call__(self, logger: Any, name: str, event: structlog.typing.EventDict) -> str:
        event = structlog.processors.format_exc_info(logger, name, event)
        # Each value for itself, so that cutting one leaves a document in JSON.
        short = {key: _shorten(redact(value)) if isinstance(value, str) else value for key, value in event.items()}
        return redact(str(self._renderer(logger, name, short)))


def _shorten(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    half = LONGEST // 2
    return f"{text[:half]} ... {len(text) - LONGEST} characters left out ... {text[-half:]}"


def _log_uncaught(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None, *, is_elsewhere: bool
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    log.critical("an unexpected error ends the process", exc_info=(kind, error, trace))
    if is_elsewhere:
        sys.stderr.write(f"an unexpected error ends the process; the log has it: {kind.__name__}\n")


def _log_uncaught_in_thread(failure: threading.ExceptHookArgs) -> None:
    if failure.exc_value is not None:
        trace = (failure.exc_type, failure.exc_value, failure.exc_traceback)
        log.error("an unexpected error ends a thread", exc_info=trace)
