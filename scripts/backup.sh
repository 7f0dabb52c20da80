#!/bin/sh -e
# Back up the embedded database and the SQLite archive into FOLDER. Everything may go on meanwhile.
# What is in FOLDER at the end was read back; scripts/restore.sh takes it from there.
usage='FOLDER' options='' fewest=1 most=1
. "$(dirname "$(readlink -f "$0")")/environment.sh"
exec "$python" -m worker --typed-in "$there" backup "$@"
