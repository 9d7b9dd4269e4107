#!/usr/bin/env bash
# Everything: the checks, the slow tests, and every lane that needs the local cluster.
# A lane is a folder of tests/ with tests in it that `make check` does not run.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$ROOT"
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-2}
cluster() { "$BIN/python" tests/cluster "$@"; }

step "make check" scripts/check.sh
step "slow tests without a cluster" on_every_core -m slow tests/unit tests/trainer tests/robustness
if ! cluster status >/dev/null 2>&1; then
  trap 'cluster down' EXIT
  trap 'exit 143' INT TERM HUP
fi
cluster up >/dev/null
others=$(cluster exec kubectl get deployments -A -l app.kubernetes.io/part-of=bluetune -o name)
[ -z "$others" ] || fail "an operator runs on the local cluster (of \`make demo\`?) and would take part in the tests; run \`make down\` first"
for folder in tests/*/; do
  lane=$(basename "$folder")
  case $lane in
    unit | trainer | robustness | images) ;;
    operator) step "$lane" "$BIN/pytest" -q -n 3 --dist loadfile "$folder" ;; # waits more than it works
    *) [ -z "$(find "$folder" -name 'test_*.py' -print -quit)" ] || step "$lane" "$BIN/pytest" -q "$folder" ;;
  esac
done
step "images are built" scripts/images.sh
step "images" "$BIN/pytest" -q tests/images
if ((FAILED)); then cluster status >&2 || true; fi
finish
