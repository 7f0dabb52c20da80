#!/bin/sh -e
# Renew what in docs/ is made from the code: the OpenAPI document, and tables of settings, keys, routes, rules, commands.
#   --check    change nothing; fail where something differs from the code
usage='[--check]' options='--check' fewest=0 most=0
. "$(dirname "$(readlink -f "$0")")/environment.sh"
exec "$python" -m scripts.docs "$@"
