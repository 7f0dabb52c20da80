#!/bin/sh -e
# Take the pictures of the page that README and docs show, in docs/pictures/.
#   URL       where it is served; without it, the demo is started for as long as it takes
#   PREFIX    begins the names of the pictures: `replayed` for those of a replayed day
# Chromium is wanted: Debian's `chromium`.
usage='[URL [PREFIX]]' options='' fewest=0 most=2
requirements=requirements-dev.txt
. "$(dirname "$(readlink -f "$0")")/environment.sh"
exec "$python" -m scripts.screenshots "$@"
