"""Logs an outage when it begins, when its reason changes, and when it is over, however often it is met in between."""

import structlog

log = structlog.get_logger()


class OutageLog:
    """The outages of one thing, which `about` names in each line."""

    def __init__(self, **about: object) -> None:
        self._about = about
        self._kind: str | None = None

    @property
    def is_ongoing(self) -> bool:
        return self._kind is not None

    def log_failure(self, message: str, reason: str, kind: str | None = None) -> None:
        """Log a failure, unless the last one was of the same `kind`; without one, of the same reason."""
        kind = reason if kind is None else kind
        if kind != self._kind:
            log.warning(message, **self._about, reason=reason)
        self._kind = kind

    def log_recovery(self, message: str | None = None) -> None:
        """End the outage, if there is one, and log `message`."""
        if self._kind is not None and message is not None:
            log.info(message, **self._about)
        self._kind = None
