#!/usr/bin/env bash
# Everything a checkout needs: Debian packages, uv, the virtual environment in .venv, and (setup.sh --programs) the
# programs of the local cluster; setup.sh --programs --lanes also brings a Chromium, Java and Maven for tests.
# Does nothing that is done already. All but .venv is cached outside the checkout.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$ROOT"

for PYTHON in /usr/bin/python3 "$(command -v python3 || true)"; do
  [ -x "$PYTHON" ] && "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' && break
  PYTHON=
done
[ -n "$PYTHON" ] || fail "Python 3.11 or later is needed (apt-get install python3)"

# --- Debian packages: what the cluster runs on, what images are built with and what tests call
missing_packages() { # with --lanes also what only lanes of `make test` call
  PYTHONPATH=tests "$PYTHON" - "$@" <<'EOF'
import sys
from cluster.preflight import *
print(*missing_packages({**NEEDED, **BY_TESTS, **(BY_LANES if "--lanes" in sys.argv else {})}))
EOF
}
packages=$(missing_packages "$@")
"$PYTHON" -m pip --version >/dev/null 2>&1 || packages="$packages python3-pip"
if [ -n "${packages// /}" ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "Installing Debian packages: $packages"
    begun=$SECONDS
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q >&2
    # shellcheck disable=SC2086 # a list of words
    apt-get install -y -q --no-install-recommends $packages >&2
    say "  done in $(seconds $((SECONDS - begun)))"
  else
    say "The local cluster and some tests will not run before, as root: apt-get install -y $packages"
  fi
fi

# --- uv, of the version and with the hashes in the lock file
block=$(awk '/^[^ ]/ { inside = /^uv==/ } inside && !/^ *#/' locks/dev.txt | sed '$ s/ *\\$//')
version=$(sed -n 's/^uv==\([^ ]*\).*/\1/p' <<<"$block")
UV=$CACHE/uv-$version/bin/uv
if [ ! -x "$UV" ]; then
  say "Installing uv $version into $CACHE"
  mkdir -p "$CACHE"
  rm -rf "$CACHE/uv-$version" "$CACHE/.uv-new"
  printf '%s\n' "$block" >"$CACHE/.uv.txt"
  "$PYTHON" -m pip install --quiet --root-user-action=ignore --disable-pip-version-check --no-deps --require-hashes \
    --target "$CACHE/.uv-new" --requirement "$CACHE/.uv.txt"
  mv "$CACHE/.uv-new" "$CACHE/uv-$version"
fi

# --- the virtual environment, exactly as locked; `bluetune` itself is the working tree
locked=$(sed '/^\[tool\.ruff\]/,$d' pyproject.toml | cat locks/dev.txt locks/build.txt - | sha256sum)
if [ "$(cat .venv/locked 2>/dev/null)" != "$locked" ]; then
  say "Installing the virtual environment .venv (about 6 GB, most of it torch; kept in uv's cache)"
  begun=$SECONDS
  umask 022 # pods of the local cluster read it as another user
  [ -x .venv/bin/python ] || "$UV" venv --quiet --python "$PYTHON" --no-python-downloads .venv
  "$UV" pip sync --python .venv/bin/python --require-hashes locks/dev.txt locks/build.txt >&2
  "$UV" pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable .
  printf '%s\n' "$locked" >.venv/locked
  say "  done in $(seconds $((SECONDS - begun)))"
fi

if [ "${1:-}" = --programs ]; then
  "$BIN/python" tests/cluster build >/dev/null
fi
