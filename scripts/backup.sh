#!/bin/sh -e
# Back up the embedded database and the SQLite archive: scripts/backup.sh FOLDER. Everything may go on meanwhile.
# What is in FOLDER at the end was read back; scripts/restore.sh takes it from there.
. "$(dirname "$(readlink -f "$0")")/environment.sh"
exec "$python" -m scripts.backup --typed-in "$there" "$@"
