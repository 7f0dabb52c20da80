#!/bin/sh -e
# Make one cluster of nodes of Redis or Valkey that run: the first of them become primaries, the others their replicas.
# It can be stopped anywhere and typed again, and changes nothing in a cluster that is whole.
#   --replicas N    replicas of each primary (1)
# Where the nodes ask for a password, it is taken from DATA_TRACKER_CLUSTER_PASSWORD.
usage='HOST:PORT ... [--replicas N]' options='--replicas' fewest=1 most=999
. "$(dirname "$(readlink -f "$0")")/environment.sh"
exec "$python" -m worker.embedded.cluster.forming "$@"
