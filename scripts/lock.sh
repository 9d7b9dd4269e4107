#!/usr/bin/env bash
# Write locks/ from pyproject.toml: exact versions with hashes, for every platform. Versions that still fit stay;
# `lock.sh --upgrade` takes the newest of all, `lock.sh --upgrade-package NAME` of one.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$ROOT"
compile() { "$BIN/uv" pip compile --quiet --universal --generate-hashes --no-header "$@"; }

compile --no-emit-package bluetune --extra dev pyproject.toml -o locks/dev.txt "$@"
for extra in operator trainer; do
  compile --extra "$extra" -c locks/dev.txt pyproject.toml -o "locks/$extra.txt"
done
compile locks/build.in -o locks/build.txt "$@"
