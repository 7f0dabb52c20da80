#!/bin/sh -e
# Start the worker alone: it asks the sources and feeds the database. Ctrl-C stops it.
#   run              samples until it is stopped; this is what it does without a command
#     --only ROLES   does part of it: sampling, pricing, ranking, merging
#   replay FOLDER    plays recorded candles through the same tick
#     --speed 60     plays them at a speed, to be watched
#   record METRIC    downloads a provider's candles into a folder for replays and backtests
#   rebuild          fills the past day anew from the exchanges and the archive
#   drop-future      drops what a clock that was ahead has left in the future
#   backup FOLDER    backs up the embedded database and the SQLite archive
#   restore FOLDER   restores a backup into a TRACKER_DATA_DIR without a database
#   move             moves the data to another Redis or a cluster, while a worker goes on
#   reset            deletes the kept day and the alerts; rules and the archive are kept
#   verify           recomputes what is derived, and mends what differs
#   notify           test: sends a test message through each channel; dead: lists what was not sent
#   rules            backtest FILE: says what rules would have sent; test FILE: runs rule tests
#   keys             make NAME, list, revoke ID: the keys of the API
#   doctor           checks network, clock, keys, budgets, Redis, archive, disk and rules file, and says what to do
#   sources          lists what each source can give; SOURCE [TEXT]: its markets, those with a text in their name
#   plan             says what the settings come to: calls, credits, bytes
# COMMAND --help says which options a command has.
usage='[COMMAND [OPTION ...]]' most=
. "$(dirname "$(readlink -f "$0")")/environment.sh"
case ${1:-run} in
    run) echo "starting the worker (Ctrl-C stops it); next, in another terminal: scripts/start-api.sh" >&2 ;;
esac
exec "$python" -m worker --typed-in "$there" "$@"
