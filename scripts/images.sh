#!/usr/bin/env bash
# The container images of operator and trainer: scripts/images.sh [build|load|export DIR]; see scripts/images.py.
# Needs docker with a running engine, or else (as root) buildah and debootstrap, which are installed if they are missing.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$ROOT"

if ! timeout 20 docker info >/dev/null 2>&1; then
  missing=()
  for package in buildah debootstrap; do
    command -v "$package" >/dev/null || missing+=("$package")
  done
  if [ "${#missing[@]}" -gt 0 ]; then
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null \
      || fail "images are built with docker, whose engine does not answer here, or, as root on Debian, with ${missing[*]}"
    say "Installing Debian packages: ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q >&2
    apt-get install -y -q --no-install-recommends "${missing[@]}" >&2
  fi
fi
exec "$BIN/python" scripts/images.py "${@:-build}"
