"""How bodies are compressed. Each of a body's codings is made once, when it is first asked for."""

import gzip
import sys
from collections.abc import Callable, Mapping

import brotli

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

GZIP_LEVEL = 4
"""A day of prices, 36.0 kB, becomes 12.5 kB in 0.6 ms; level 9 makes it 11.9 kB in 16 ms."""
ZSTD_LEVEL = 1
"""The same becomes 10.8 kB in 0.1 ms."""
BROTLI_QUALITY = 5
"""The same becomes 10.3 kB in 1 ms: worth a thread, for bodies that are sent often."""
COMPRESSED_FROM = 1000
"""Bytes; below, compressing costs more than it saves."""
AT_ONCE = 128 * 1024
"""Bytes up to which a body is compressed between two requests; a larger one would hold up the others."""
MOST_FOR_BROTLI = 1024 * 1024
"""Bytes up to which brotli is tried: it takes 0.3 s for as many."""
SLOW = "br"
"""The coding for which no client waits: it gets the next best until this one is ready."""

_ENCODERS: Mapping[str, Callable[[bytes], bytes]] = {
    "br": lambda body: brotli.compress(body, quality=BROTLI_QUALITY),
    "zstd": lambda body: zstd.compress(body, ZSTD_LEVEL),
    # Without a time, or the same body would be another one each second.
    "gzip": lambda body: gzip.compress(body, GZIP_LEVEL, mtime=0),
}


def encode(coding: str, body: bytes) -> bytes:
    """Return a body, compressed."""
    return _ENCODERS[coding](body)
