"""A client of a Redis Cluster that is used like a client of one server."""
