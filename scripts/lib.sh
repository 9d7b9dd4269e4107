# Shared by the scripts here: where things lie, and lines with times.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CACHE=${BLUETUNE_CACHE:-$HOME/.cache/bluetune}
BIN=$ROOT/.venv/bin
FAILED=0
SUMMARY=()

say() { printf '%s\n' "$*" >&2; }
fail() { say "bluetune: $*"; exit 1; }

seconds() { # SECONDS_ELAPSED: 75 -> 1 min 15 s
  if (($1 < 60)); then printf '%d s' "$1"; else printf '%d min %d s' $(($1 / 60)) $(($1 % 60)); fi
}

# on_every_core ARGUMENTS...: pytest, for tests that compute
on_every_core() { OMP_NUM_THREADS=1 "$BIN/pytest" -q -n "$(nproc)" --maxprocesses 4 "$@"; }

# step NAME COMMAND...: run it, show how long it took, remember how it ended; the script goes on.
step() {
  local name=$1 begun=$SECONDS result=ok code=0
  shift
  say "── $name"
  "$@" || code=$?
  case $code in
    0) ;;
    7) result=flaky ;; # of pytest --fail-on-flaky: what failed passed at its second attempt
    *) result=FAILED FAILED=1 ;;
  esac
  SUMMARY+=("$(printf '  %-6s %-44s %s' "$result" "$name" "$(seconds $((SECONDS - begun)))")")
}

# finish: what ran and how it ended; exits with 1 if anything failed.
finish() {
  say ""
  printf '%s\n' "${SUMMARY[@]}" >&2
  if ((FAILED)); then say "FAILED after $(seconds "$SECONDS")"; else say "All passed in $(seconds "$SECONDS")."; fi
  exit "$FAILED"
}
