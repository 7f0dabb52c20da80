#!/bin/sh -e
# Restore what scripts/backup.sh has made: scripts/restore.sh FOLDER, into a TRACKER_DATA_DIR that holds no database.
. "$(dirname "$(readlink -f "$0")")/environment.sh"
exec "$python" -m scripts.restore --typed-in "$there" "$@"
