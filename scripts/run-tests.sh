#!/bin/sh -e
# Run the tests: all, or as the options of pytest say. Paths count from the repository's root.
# With CI=1 a skipped test is a failure.
usage='[OPTION OR PATH OF PYTEST ...]' most=
requirements=requirements-dev.txt
. "$(dirname "$(readlink -f "$0")")/environment.sh"
echo "running the tests; when they pass: scripts/check.sh" >&2
# Hundreds of tests start Python. Where nothing compiled is kept, each start takes a quarter longer.
unset PYTHONDONTWRITEBYTECODE
# Most tests wait for a server of theirs, so two processes a core keep them busy.
exec "$python" -m pytest -n "$((2 * $(getconf _NPROCESSORS_ONLN)))" --dist worksteal "$@"
