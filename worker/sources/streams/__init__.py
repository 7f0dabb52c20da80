"""
Ticks from WebSocket streams instead of requests, behind the interface of a source.

    connection_state   what a connection is to do next: ping, be replaced, be dropped. Pure
    connection         one WebSocket: subscribes, reads frames, pings
    slot               keeps a group of symbols delivered: connects again, and replaces a connection before it is cut
    feed               all slots of a provider, and what they brought
    events             what frames say, whoever sends them
    trade_sums         what was traded in each interval, exactly, or that it is unknown. Pure
    pauses             whether a market, or a connection, should have been heard of by now. Pure
    streamed_market    the newest state of one metric. Pure
    streamed_ticks     a tick's readings: from the stream where it is known to be good, else by REST
    kraken, binance    the frames of each provider. Pure
"""
