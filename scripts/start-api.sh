#!/bin/sh -e
# Serve a version: the API and the page. Without a name, the one that `latest` points at. Ctrl-C stops it.
usage='[VERSION]' options='' fewest=0 most=1
. "$(dirname "$(readlink -f "$0")")/environment.sh"
wish=${1:-latest}
# The link is resolved here, before Python starts: imported as `latest`, every class would exist twice.
version=$(basename "$(readlink -f "$wish")")
if [ ! -f "$version/__main__.py" ] || [ ! -f "$version/model.py" ]; then
    echo "there is no version '$wish' here, only:$(for known in v*/model.py; do printf ' %s' "${known%/*}"; done)" >&2
    exit 2
fi
echo "serving $version (Ctrl-C stops it); next: the page /docs at the address below" >&2
exec "$python" -m "$version"
