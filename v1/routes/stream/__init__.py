"""
What happens, pushed: `/stream` by server-sent events, `/ws` by WebSocket.

    question     what a client asks for
    events       what each event holds
    frames       events as bytes
    market       the events of a tick
    backlog      the alerts of the log of events, to resume from
    subscriber   one client, and those that asked the same
    hub          reads the log, writes to all clients
    endpoints    the two routes

The server hands the connection over once an answer has begun, so that a client costs no task of its own.
"""
