#!/usr/bin/env bash
# The docs as a site, in out/site: whole anew each time, because Sphinx says a warning only when it reads the page.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$ROOT"
rm -rf out/site
"$BIN/sphinx-build" --quiet --fresh-env --fail-on-warning --keep-going -c docs -d out/doctrees . out/site
