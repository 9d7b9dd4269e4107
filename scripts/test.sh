#!/usr/bin/env bash
# Everything: the checks, the slow tests, and every lane that needs the local cluster.
# A lane is a folder of tests/ with tests in it that `make check` does not run.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$ROOT"
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-2}
cluster() { "$BIN/python" tests/cluster "$@"; }
# on_cluster ARGUMENTS...: pytest, for a lane. At most two of its tests get a second attempt, as much on a loaded machine
# is late; each is shown with its traceback, and the lane is called flaky.
on_cluster() {
  "$BIN/pytest" -q --reruns 1 --max-suite-reruns 2 --rerun-show-tracebacks --fail-on-flaky "$@"
}

step "make check" scripts/check.sh
step "slow tests without a cluster" on_every_core -m slow tests/unit tests/trainer tests/robustness
cleanup=()
trap 'for each in "${cleanup[@]}"; do $each; done' EXIT
trap 'exit 143' INT TERM HUP
cluster status >/dev/null 2>&1 || cleanup+=("cluster down")
cluster up >/dev/null
others=$(cluster exec kubectl get deployments -A -l app.kubernetes.io/part-of=bluetune -o name)
[ -z "$others" ] || fail "an operator runs on the local cluster (of \`make demo\`?) and would take part in the tests; run \`make down\` first"
# Only the lane of neighbours needs Kueue: it is built beside the lanes before, some of which wait more than they work.
setsid nice -n 19 "$BIN/python" tests/cluster build --neighbours >/dev/null 2>&1 &
neighbours=$!
build_ends() { kill -- "-$neighbours" 2>/dev/null || true; }
cleanup+=(build_ends)
for folder in tests/*/; do
  lane=$(basename "$folder")
  case $lane in
    unit | trainer | robustness | images) ;;
    operator) step "$lane" on_cluster -n 3 --dist loadfile "$folder" ;; # waits more than it works
    *) [ -z "$(find "$folder" -name 'test_*.py' -print -quit)" ] || step "$lane" on_cluster "$folder" ;;
  esac
done
step "images are built" scripts/images.sh
step "images" on_cluster tests/images
if ((FAILED)); then cluster status >&2 || true; fi
finish
