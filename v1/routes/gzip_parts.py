"""
gzip of a body whose middle is compressed already (RFC 1951 and 1952).

Compressed data is a sequence of blocks. zlib ends one at a whole byte where it is told to (`Z_SYNC_FLUSH`), and what a
new compressor begins there refers to nothing before it. So parts that were compressed by themselves are one stream
when they stand one after the other; only the checksum is that of the whole.
"""

import zlib
from collections.abc import Sequence

LEVEL = 4
"""The level of bodies that are compressed as a whole."""
AT_ONCE = 128 * 1024
"""Bytes up to which something is compressed between two requests; more would hold up the others."""
_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""Deflated, without a time or a name, by an unknown system."""
_WINDOW = 12
"""Of a short part: the 2 ** 12 bytes that repetitions are looked for in are enough for an hour."""
_MEMORY = 5
"""Of a short part: the usual 8, and a window of 15, take six times as long to set up as an hour to compress."""


def compress_middle(texts: Sequence[bytes], between: bytes) -> bytes:
    """Return the part that stands in the middle of a body: these texts with what is between them."""
    compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return compressor.compress(between.join(texts)) + compressor.flush(zlib.Z_SYNC_FLUSH)


def join_gzip(before: bytes, middle: bytes, after: bytes, body: bytes) -> bytes:
    """Return a body in gzip, of which the middle is compressed already; `before` and `after` are the rest of it."""
    compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, -_WINDOW, _MEMORY)
    # After a full flush nothing refers to what is before it, which is not where the compressor believes it to be.
    first = compressor.compress(before) + compressor.flush(zlib.Z_FULL_FLUSH)
    last = compressor.compress(after) + compressor.flush()
    checksum, size = zlib.crc32(body), len(body) & 0xFFFFFFFF
    return b"".join([_HEADER, first, middle, last, checksum.to_bytes(4, "little"), size.to_bytes(4, "little")])
