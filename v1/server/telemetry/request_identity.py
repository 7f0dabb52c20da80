"""
What identifies a request in the log: `X-Request-ID`, and the trace of `traceparent` (W3C Trace Context, level 1).

Pure. What is not as it should be is taken for missing: it goes into the log, and into a header of the answer.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple
from uuid import uuid4

REQUEST_ID = b"x-request-id"
TRACEPARENT = b"traceparent"

_SANE_ID = re.compile(rb"[A-Za-z0-9._~:+/=@-]{1,128}")
# https://www.w3.org/TR/trace-context/#traceparent-header: later versions may add to it, behind another "-".
_TRACEPARENT = re.compile(rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")
_FIRST_VERSION = b"00"


class RequestIdentity(NamedTuple):
    """How a request is called, and the trace that it is part of."""

    id: str
    trace_id: str | None = None
    parent_id: str | None = None
    """The caller's own part of the trace."""

    def list_fields(self) -> dict[str, str]:
        """Return what the log shows of it."""
        fields = {"request_id": self.id, "trace_id": self.trace_id, "parent_id": self.parent_id}
        return {name: value for name, value in fields.items() if value is not None}


def read_identity(headers: Iterable[tuple[bytes, bytes]], *, is_wanted: bool) -> RequestIdentity | None:
    """Return a request's identity; where its headers say nothing of it, a new one, or `None` if none `is_wanted`."""
    given = trace = None
    for name, value in headers:
        if name == REQUEST_ID and _SANE_ID.fullmatch(value):
            given = value.decode("ascii")
        elif name == TRACEPARENT:
            trace = _TRACEPARENT.fullmatch(value)
    if trace and trace[1] == _FIRST_VERSION and trace[4] is not None:
        trace = None
    if given is None and trace is None and not is_wanted:
        return None
    identity = RequestIdentity(given or uuid4().hex)
    return identity._replace(trace_id=trace[2].decode(), parent_id=trace[3].decode()) if trace else identity
