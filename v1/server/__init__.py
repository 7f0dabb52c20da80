"""
The HTTP server: HTTP/1.1 by Hypercorn's protocol, with limits of number, time and size.

    app            the application: routers, middleware, lifespan
    listener       accepts connections, counts them, stops
    connection     one client's connection and its timeouts
    http1          Hypercorn's HTTP/1.1, without HTTP/2
    simple         requests that need none of it, which are nearly all
    channel        a connection that the application has taken over: streams of events, WebSocket
    middleware     what every request passes
    limits         the limits, and the configuration made of the settings
    addresses      addresses and networks of clients and proxies
    guards         keys, limits of each client, trusted proxies

HTTP/2 is spoken by a proxy in front, to browsers; to us it speaks HTTP/1.1.
"""

from .limits import ConnectionLimits
from .listener import serve

__all__ = ["ConnectionLimits", "serve"]
