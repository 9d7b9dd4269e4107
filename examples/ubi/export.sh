#!/usr/bin/env bash
# export.sh URL [SEARCH]: all documents of an index of OpenSearch or Elasticsearch, a response of _search a line.
# URL is the index's. SEARCH is a body of _search, for example
# '{"query": {"range": {"timestamp": {"gte": "2026-03-02", "lt": "2026-03-03"}}}}'.
# Names and passwords come from ~/.netrc. Any error, also of one shard, ends it with another exit code than 0.
set -euo pipefail
fail() {
  echo "export.sh: $*" >&2
  exit 1
}
for program in curl jq; do
  command -v "$program" >/dev/null || fail "$program is not installed; install it"
done
index=${1:?the URL of an index, for example http://localhost:9200/ubi_queries}
server=${index%/*}
answer=$(mktemp)
trap 'rm -f "$answer"' EXIT

ask() { # WHAT ARGUMENTS...: the answer comes into $answer
  local what=$1 why
  shift
  why=$(curl --fail-with-body --silent --max-time 300 --netrc-optional --header 'Content-Type: application/json' \
    --output "$answer" --write-out 'HTTP status %{http_code}, %{errormsg}' "$@") ||
    fail "$what failed: $why$(jq --raw-output '.error | objects | [.type, .reason] | map(strings) | " (\(join(": ")))"' \
      "$answer" 2>/dev/null | cut -c 1-300)"
}

# only the first search is repeated: a scroll that is asked twice leaves out a page
ask "the search of $index" --retry 3 "$index/_search?scroll=5m&size=1000&track_total_hits=true" --data "${2:-"{}"}"
written=0 total=
while true; do
  jq --exit-status '._shards.failed == 0 and .timed_out == false' "$answer" >/dev/null 2>&1 ||
    fail "the answer after $written documents is not whole: $(jq --raw-output \
      '"\(._shards.failed) of \(._shards.total) shards failed, timed_out is \(.timed_out)"' "$answer" 2>/dev/null ||
      echo "it is none of _search"); export again"
  total=${total:-$(jq '.hits.total.value' "$answer")}
  scroll=$(jq '{scroll: "5m", scroll_id: ._scroll_id}' "$answer")
  found=$(jq '.hits.hits | length' "$answer")
  [ "$found" = 0 ] && break
  cat "$answer" && echo # as it came: jq would round large numbers
  written=$((written + found))
  ask "the page after $written documents of $index" "$server/_search/scroll" --data "$scroll"
done
[ "$written" = "$total" ] || fail "$written documents of $index came, and the search found $total; export again"
ask "the end of the scroll" --request DELETE "$server/_search/scroll" --data "$(jq '{scroll_id}' <<<"$scroll")"
