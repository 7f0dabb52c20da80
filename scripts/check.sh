#!/bin/sh -e
# Check what can be checked without running it: format, lint, types, who imports whom.
usage='' options='' fewest=0 most=0
requirements=requirements-dev.txt
. "$(dirname "$(readlink -f "$0")")/environment.sh"
failed=

check() {
    echo "== $1" >&2
    shift
    "$python" "$@" || failed=yes
}

check "format (mend: $python -m ruff format .)" -m ruff format --check .
check "lint" -m ruff check .
check "types" -m mypy
check "imports" "$venv/bin/lint-imports" --no-logo
if [ "$failed" ]; then
    echo "something is to mend, see above" >&2
    exit 1
fi
echo "all clean; next: scripts/run-tests.sh" >&2
