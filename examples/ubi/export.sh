#!/usr/bin/env bash
# export.sh URL [SEARCH]: all documents of an index of OpenSearch or Elasticsearch, a response of _search a line.
# URL is the index's. SEARCH is a body of _search, for example '{"query": {"range": {"timestamp": {"gte": "now-14d"}}}}'.
# Names and passwords come from ~/.netrc. Any error, also of one shard, ends it with another exit code than 0.
set -euo pipefail
index=${1:?the URL of an index, for example http://localhost:9200/ubi_queries}
server=${index%/*}
ask() {
  curl --fail-with-body --silent --show-error --retry 3 --max-time 300 --netrc-optional \
    --header 'Content-Type: application/json' "$@" >"$answer" || { cat "$answer" >&2; exit 1; }
}
answer=$(mktemp)
trap 'rm -f "$answer"' EXIT

ask "$index/_search?scroll=5m&size=1000" --data "${2:-"{}"}"
while jq --exit-status '._shards.failed == 0 and .timed_out == false' "$answer" >/dev/null || { cat "$answer" >&2; exit 1; }
do
  scroll=$(jq '{scroll: "5m", scroll_id: ._scroll_id}' "$answer")
  jq --exit-status '.hits.hits == []' "$answer" >/dev/null && break
  cat "$answer" && echo  # as it came: jq would round large numbers
  ask "$server/_search/scroll" --data "$scroll"
done
ask --request DELETE "$server/_search/scroll" --data "$(jq '{scroll_id}' <<<"$scroll")"
