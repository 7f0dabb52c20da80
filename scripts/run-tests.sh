#!/bin/sh -e
# Run the tests: scripts/run-tests.sh [what pytest takes]. Paths count from the repository's root.
# With CI=1 a skipped test is a failure.
requirements=requirements-dev.txt
. "$(dirname "$(readlink -f "$0")")/environment.sh"
echo "running the tests; when they pass: scripts/check.sh" >&2
# Most tests wait for a server of theirs, so one process a core keeps them busy.
exec "$python" -m pytest -n auto --dist worksteal "$@"
