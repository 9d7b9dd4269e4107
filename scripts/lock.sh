#!/usr/bin/env bash
# Write locks/ from pyproject.toml: exact versions with hashes, for every platform. Versions that still fit stay;
# `lock.sh --upgrade` takes the newest of all, `lock.sh --upgrade-package NAME` of one.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$ROOT"
compile() { "$BIN/uv" pip compile --quiet --universal --generate-hashes --no-header "$@"; }

compile --no-emit-package bluetune --extra dev pyproject.toml -o locks/dev.txt "$@"
# an image runs no command line: what only `bluetune` needs stays out
compile --extra operator -c locks/dev.txt --excludes <(printf '%s\n' rich typer) pyproject.toml -o locks/operator.txt
compile --extra trainer -c locks/dev.txt --excludes <(echo kubernetes) pyproject.toml -o locks/trainer.txt
compile locks/build.in -o locks/build.txt "$@"
