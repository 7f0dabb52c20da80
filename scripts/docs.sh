#!/bin/sh -e
# Renew the tables in docs/ that are made from the code: settings, keys, routes, fields of rules, commands.
#   --check    change nothing; fail where a table differs from the code
usage='[--check]' options='--check' fewest=0 most=0
. "$(dirname "$(readlink -f "$0")")/environment.sh"
exec "$python" -m scripts.docs "$@"
