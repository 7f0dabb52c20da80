#!/bin/sh -e
# Measure what docs/measurements.md claims: all of it, or what is named.
#   NAME is one of:
#     moments memory tick replays killed restart newcomer delivery archive archive_killed archive_size backup alerts toplist outage budget ledger
#     cluster cluster_api cluster_faults cluster_load contract stream streams api page soak
#   --append    put the tables at the end of bench/results.md, too
#   --minutes N how long soak and cluster_load take; 10 unless said otherwise
usage='[--append] [--minutes N] [NAME ...]' options='--append --minutes' fewest=0 most=99
requirements=requirements-dev.txt
. "$(dirname "$(readlink -f "$0")")/environment.sh"
exec "$python" -m bench "$@"
