"""
Answers that are made once and sent to everybody who asks the same, until a change of the data ends them.

    cache      what every request passes: sends what is kept, and has made what is not
    memory     the answers that are kept, within a bound, and what ends them
    reading    one run of the routes for all who ask the same at the same time
    prepared   one answer with its bodies in every coding, and its headers as of a second
    encodings  gzip, zstd and brotli
    ranges     `Range` and `If-Range`
    request    the headers of a request that matter here
"""

from .cache import AnswerCache
from .memory import AnswerMemory, MemoryStatistics

__all__ = ["AnswerCache", "AnswerMemory", "MemoryStatistics"]
