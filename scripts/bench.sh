#!/bin/sh -e
# Measure what the README claims: scripts/bench.sh [--help, or the name of one measurement].
requirements=requirements-dev.txt
. "$(dirname "$(readlink -f "$0")")/environment.sh"
exec "$python" -m bench "$@"
