"""How the processes log: one event a line, for people or for machines. Set up once, by a composition root."""

import logging
import sys
from typing import Any, TextIO

import structlog

from .settings import Settings


def configure(settings: Settings) -> None:
    """
    Send every log line, ours and the libraries', where the settings say.

    Raises `OSError` when the log file cannot be opened.
    """
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
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_written(settings, stream)],
        )
    )
    logging.basicConfig(handlers=[handler], level=settings.log_level.upper(), force=True)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _written(settings: Settings, stream: TextIO) -> list[Any]:
    if settings.log_format == "json":
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    return [structlog.dev.ConsoleRenderer(colors=stream.isatty())]
