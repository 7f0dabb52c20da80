#!/bin/sh -e
# Make, list and revoke keys of the API. They are asked for where TRACKER_KEYS_REQUIRED=yes or TRACKER_API_KEYS is set.
#   make NAME        makes a key and prints it; it is shown this once
#     --scope SCOPE    read (everything that changes nothing; the default), rules (rules, silences and alerts, too), admin
#     --until TIME     when it ends: ISO 8601, unix seconds, or +90d, +12h from now; without it never
#   list             lists the keys: id, scope, when each was made and last used, when it ends, whose it is
#   revoke ID        revokes a key; within a second no process of the API accepts it any more
usage='COMMAND [NAME OR ID] [--scope SCOPE] [--until TIME]' options='--scope --until' fewest=1 most=4
. "$(dirname "$(readlink -f "$0")")/environment.sh"
exec "$python" -m worker --typed-in "$there" keys "$@"
