#!/bin/sh -e
# Start everything: environment, database, worker, API. Ctrl-C stops everything again.
#   --demo    a simulated market in data/demo: no network, no keys, a full day at once
# Without it the real exchanges are asked, as the settings say; .env.example lists them.
usage='[--demo]' options='--demo' fewest=0 most=0
. "$(dirname "$(readlink -f "$0")")/environment.sh"
exec "$python" -m scripts.supervisor "$@"
