"""
How connections are served: HTTP/1.1 by Hypercorn's protocol, within bounds of number, time and size. No route here.

    server      accepts, counts, stops
    connection  one client's: what it may wait for, and how long
    http1       Hypercorn's HTTP/1.1 without the ways out of it

HTTP/2 is spoken by a proxy in front, to browsers; to us it speaks HTTP/1.1.
"""

from .limits import ConnectionLimits
from .listener import serve

__all__ = ["ConnectionLimits", "serve"]
