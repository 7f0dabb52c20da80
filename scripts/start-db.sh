#!/bin/sh -e
# Start the database alone: the embedded Valkey, on a socket in TRACKER_DATA_DIR. Ctrl-C stops it.
# With TRACKER_REDIS_URL set nothing is started: that server is looked at, and what it lacks is said.
#   --embedded    start it although TRACKER_REDIS_URL names another
usage='[--embedded]' options='--embedded' fewest=0 most=0
. "$(dirname "$(readlink -f "$0")")/environment.sh"
exec "$python" -m worker.embedded.server "$@"
