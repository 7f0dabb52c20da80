#!/bin/sh -e
# Start everything: environment, database, worker, API. Ctrl-C stops everything again.
#   scripts/start.sh           asks the real exchanges, as the settings say (.env.example lists them)
#   scripts/start.sh --demo    a simulated market in data/demo: no network, no keys, a full day at once
. "$(dirname "$(readlink -f "$0")")/environment.sh"
exec "$python" -m scripts.supervisor "$@"
