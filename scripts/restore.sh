#!/bin/sh -e
# Restore what scripts/backup.sh has made in FOLDER, into a TRACKER_DATA_DIR that holds no database.
usage='FOLDER' options='' fewest=1 most=1
. "$(dirname "$(readlink -f "$0")")/environment.sh"
exec "$python" -m worker --typed-in "$there" restore "$@"
