#!/bin/sh -e
# Start the database alone: the embedded Valkey, on a socket in TRACKER_DATA_DIR. Ctrl-C stops it.
# With TRACKER_REDIS_URL set nothing is started: that server is looked at, and what it lacks is said.
. "$(dirname "$(readlink -f "$0")")/environment.sh"
exec "$python" -m scripts.database "$@"
