#!/bin/sh -e
# Start the worker alone: it asks the sources and feeds the database. Ctrl-C stops it.
#   scripts/start-worker.sh replay FOLDER    plays recorded candles through the same tick
#   scripts/start-worker.sh rebuild          fills the past day anew from the exchanges and the archive
#   scripts/start-worker.sh verify           recomputes what is derived, and mends what differs
#   scripts/start-worker.sh notify test      sends a test message through each channel, and prints the answers
#   scripts/start-worker.sh plan             says what the settings come to: calls, credits, bytes
#   scripts/start-worker.sh run --only pricing,ranking,merging    does part of it; the other part is sampling
#   scripts/start-worker.sh --help           says the rest
. "$(dirname "$(readlink -f "$0")")/environment.sh"
case ${1:-run} in
    run) echo "starting the worker (Ctrl-C stops it); next, in another terminal: scripts/start-api.sh" >&2 ;;
esac
exec "$python" -m worker --typed-in "$there" "$@"
