#!/bin/sh -e
# Start a cluster on this machine: six nodes that keep the data (three primaries, a replica of each), one worker or
# several, and the API. Kill any of these processes: it is started again, and the others go on. Ctrl-C stops all.
#   --demo          a simulated market in data/cluster-demo: no network, no keys
#   --workers N     how many workers share the work (1)
#   --first-port N  the ports of the nodes are N to N + 5 (7101), and 10,000 above them
# Without --demo the real exchanges are asked, as the settings say; .env.example lists them.
# Everything runs on one machine: this is for trying and for tests. docs/how-to/cluster.md has more than one.
usage='[--demo] [--workers N] [--first-port N]' options='--demo --workers --first-port' fewest=0 most=2
. "$(dirname "$(readlink -f "$0")")/environment.sh"
exec "$python" -m scripts.cluster_supervisor "$@"
