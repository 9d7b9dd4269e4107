#!/usr/bin/env bash
# The checks that need no cluster.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$ROOT"

types() { # what mypy said, once it has ended
  local result=0
  wait "$mypy" || result=$?
  cat "$said"
  return "$result"
}

# mypy computes on one core, and half a minute where it has no cache: it runs beside all else.
said=$(mktemp)
"$BIN/mypy" >"$said" 2>&1 &
mypy=$!
trap 'kill $(jobs -p) 2>/dev/null || true; rm -f "$said"' EXIT
trap 'exit 143' INT TERM HUP

step "format (ruff format)" "$BIN/ruff" format --check --quiet .
step "lint (ruff check)" "$BIN/ruff" check --quiet .
step "layers (import-linter)" "$BIN/lint-imports" --no-logo --no-cache
step "generated files are up to date" "$BIN/python" -m bluetune_api.generate --check
step "docs/models.md is up to date" "$BIN/python" scripts/models_page.py --check
step "docs/formats.md is up to date" "$BIN/python" scripts/formats_page.py --check
step "docs/cli.md is up to date" "$BIN/python" scripts/cli_page.py --check
step "the docs build as a site, without a warning" scripts/site.sh
step "fast tests" on_every_core -m "not slow" tests/unit
step "types (mypy --strict), beside all else" types
finish
