#!/usr/bin/env bash
# The checks that need no cluster.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$ROOT"
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-2}

step "format (ruff format)" "$BIN/ruff" format --check --quiet .
step "lint (ruff check)" "$BIN/ruff" check --quiet .
step "types (mypy --strict)" "$BIN/mypy"
step "layers (import-linter)" "$BIN/lint-imports" --no-logo --no-cache
step "generated files are up to date" "$BIN/python" -m bluetune_api.generate --check
step "fast tests" "$BIN/pytest" -q -m "not slow" tests/unit tests/trainer tests/robustness
finish
