"""An index, from its parts into OpenSearch.

The parts go into an index of OpenSearch of its own, document by document under the item's id, so that a part that is
sent again changes nothing; each part that is in is written down in the mapping. The index is counted, compared with an
exact search, and takes the alias of its version in one call. Killed anywhere, the next run goes on; servers, which
search by the alias, see the whole index, or the one of before.
"""

import json
import logging
import re
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bluetune_api import store_layout
from bluetune_api.index_records import IndexManifest, IndexProgress, IndexShard
from bluetune_api.index_target import OpenSearch, Vectors
from bluetune_api.objectstore import ObjectStore
from bluetune_trainer.errors import DatabaseFailed, PlanInvalid, raise_if
from bluetune_trainer.indexing.content import Content, content_in
from bluetune_trainer.indexing.parts import fetch_part, rows_of
from bluetune_trainer.indexing.search_cluster import BUSY, STOPPED, TRIES, Access, Cluster, reason_in
from bluetune_trainer.indexing.search_documents import (
    CANDIDATES,
    NEAREST,
    Line,
    bulks,
    close_search,
    exact_search,
    field_for,
    lines_of,
)
from bluetune_trainer.store.progress import now

log = logging.getLogger(__name__)

SAMPLE = 100
"""Items that are searched for."""
LOADING = "-load"
"""Behind the name of an index: the alias that it is filled by."""

Report = Callable[[IndexProgress], None]


class SearchLoader:
    """Loads one index behind its alias."""

    def __init__(
        self,
        store: ObjectStore,
        manifest: IndexManifest,
        target: OpenSearch,
        vectors: Vectors | None,
        *,
        report: Report,
        stop: threading.Event,
    ) -> None:
        """`vectors` is how the manifest's were made shorter. Raises PlanInvalid for what OpenSearch cannot index."""
        kind = manifest.vectors.type if manifest.vectors else "Float32"
        self._field = field_for(manifest.dimension, manifest.similarity, kind)
        self._store, self._manifest, self._target = store, manifest, target
        self._report, self._stop = report, stop
        self._alias = target.alias_of(manifest.version, vectors)
        self._index = f"{self._alias}-{manifest.generation}"
        self._content = Content(store.uri(""), manifest.version, manifest.generation)

    def load(self, access: Access) -> str:
        """Fill, count, compare and name the index; then remove those that nobody needs. In words what was done.

        Raises:
            PlanInvalid: something of that name is somebody else's, or the HNSW index finds too little.
            DataInvalid, DatabaseFailed, StoreDamaged, Stopped: as they say.
        """
        cluster = Cluster(self._target, access, self._stop)
        cluster.require_usable()
        before = self._ours(cluster, self._alias)
        count = self._manifest.count
        if set(before) == {self._index}:
            said = f"{self._alias} holds these {count} items already"
        else:
            recall = self._fill(cluster)
            self._switch(cluster, before)
            log.info("index loaded", extra={"alias": self._alias, "items": count, "recall": round(recall, 4)})
            said = f"{self._alias} holds {count} items; its HNSW index finds {recall:.3f} of the {NEAREST} nearest"
        self._remove_old(cluster, {self._index, *before})
        return said

    def _fill(self, cluster: Cluster) -> float:
        """The index, whole, and which share of the nearest items it finds."""
        for shard in self._missing(cluster):
            raise_if(self._stop, STOPPED)
            self._load_shard(cluster, shard)
        self._report(IndexProgress(stage="Building", updated_at=now()))
        cluster.must("POST", f"/{self._index}/_refresh")
        self._count(cluster)
        recall = self._recall(cluster)
        if recall < self._target.min_recall:
            raise PlanInvalid(
                f"the HNSW index of {self._index} finds {recall:.3f} of the {NEAREST} nearest items with k:"
                f" {CANDIDATES}, serving.index.target.opensearch.minRecall is {self._target.min_recall}; keep more"
                " of the vectors, or lower minRecall",
                reason="RecallTooLow",
            )
        return recall

    def _ours(self, cluster: Cluster, name: str) -> dict[str, Content]:
        """The indices of that name or alias, with what they hold. Raises PlanInvalid for one that is not this
        model's."""
        found = dict[str, Content]()
        for index, about in (cluster.found(f"/{name}") or {}).items():
            content = _content(about)
            if content is None or content.store != self._content.store or index == self._alias:
                whose = f"the model with the store {content.store}" if content else "somebody else"
                raise PlanInvalid(
                    f"{name} is there in OpenSearch, and was made by {whose}; set another"
                    " serving.index.target.opensearch.index",
                    reason="NameTaken",
                )
            found[index] = content
        return found

    def _missing(self, cluster: Cluster) -> list[IndexShard]:
        """Parts that are to be loaded; the index for them is there then."""
        there = self._ours(cluster, self._index)
        if not there:
            body = self._field.body(self._target, self._content, self._index + LOADING)
            status, answer = cluster.ask("PUT", f"/{self._index}", body)
            made_before = "resource_already_exists" in json.dumps(answer)  # by a try whose answer was lost
            if status >= 300 and not made_before:
                said = f"{status}: {reason_in(answer.get('error'))}"
                raise DatabaseFailed(
                    f"OpenSearch does not make the index {self._index} ({said}); see that it has the k-NN plugin, and"
                    " that the user may create indices"
                )
            there = self._ours(cluster, self._index)
        self._content = there.get(self._index, self._content)
        return [shard for shard in self._manifest.shards if shard.shard not in self._content.loaded]

    def _load_shard(self, cluster: Cluster, shard: IndexShard) -> None:
        with tempfile.TemporaryDirectory(prefix="bluetune-load-") as folder:
            path = Path(folder) / "part.parquet"
            fetch_part(self._store, self._manifest.version, shard, path)
            begun, done = time.monotonic(), 0
            before = sum(one.rows for one in self._manifest.shards if one.shard in self._content.loaded)
            for ids, digests, vectors in rows_of(path, self._manifest.dimension):
                for lines in bulks(lines_of(ids, digests, vectors, self._field)):
                    self._send(cluster, lines)
                    done += len(lines)
                    self._say(before + done, done / max(time.monotonic() - begun, 1e-3))
        content = self._content.with_shard(shard.shard)
        cluster.must("PUT", f"/{self._index}/_mapping", {"_meta": content.document()})
        self._content = content

    def _send(self, cluster: Cluster, lines: list[Line]) -> None:
        """Write documents; those that the cluster was too busy for again, later each time."""
        path = f"/{self._index}{LOADING}/_bulk?require_alias=true&filter_path=errors,items.*.status,items.*.error"
        for attempt in range(TRIES):
            answer = cluster.must("POST", path, b"".join(line.data for line in lines))
            if not answer.get("errors"):
                return
            results = [next(iter(item.values())) for item in answer["items"]]
            failed = [(line, one) for line, one in zip(lines, results, strict=True) if one["status"] >= 300]
            line, first = next((each for each in failed if each[1]["status"] not in BUSY), failed[0])
            problem = f"{first['status']}: {reason_in(first.get('error'))}"
            if first["status"] not in BUSY:
                raise DatabaseFailed(f"OpenSearch refuses item {line.item_id[:60]!r} ({problem})")
            lines = [line for line, _ in failed]
            log.warning("OpenSearch is busy", extra={"items": len(lines), "error": problem})
            if attempt < TRIES - 1:
                cluster.pause(attempt)
        raise DatabaseFailed(
            f"OpenSearch did not take {len(lines)} items in {TRIES} tries ({problem}); give it more memory or nodes"
        )

    def _say(self, done: int, rate: float) -> None:
        total = self._manifest.count
        left = round((total - done) / rate) if rate else None
        self._report(
            IndexProgress(
                stage="Loading", done=done, total=total, rate=round(rate, 1), seconds_left=left, updated_at=now()
            )
        )

    def _count(self, cluster: Cluster) -> None:
        answer = cluster.must("GET", f"/{self._index}/_count")
        _require_whole(answer, self._index)
        if answer["count"] != self._manifest.count:
            cluster.must("DELETE", f"/{self._index}?ignore_unavailable=true")
            raise DatabaseFailed(
                f"{self._index} has {answer['count']} documents instead of {self._manifest.count}: somebody else wrote"
                " there; it is removed, and filled again by the next try"
            )

    def _recall(self, cluster: Cluster) -> float:
        """Share of the nearest items that the HNSW index finds. Items as near as the last of them count, too."""
        found = wanted = 0
        for vector in self._sample():
            exact = self._hits(cluster, exact_search(vector, self._field))
            close = self._hits(cluster, close_search(vector))
            if others := [item_id for item_id in close if item_id not in exact]:
                close |= self._hits(cluster, exact_search(vector, self._field, others))
            if not exact:
                continue
            limit = min(exact.values()) - 1e-6 * max(abs(min(exact.values())), 1.0)
            found += min(len(exact), sum(exact.get(item_id, score) >= limit for item_id, score in close.items()))
            wanted += len(exact)
        return found / wanted if wanted else 1.0

    def _sample(self) -> list[list[float] | list[int]]:
        """Vectors of the index that can be searched for."""
        sample = list[list[float] | list[int]]()
        for shard in self._manifest.shards:
            with tempfile.TemporaryDirectory(prefix="bluetune-load-") as folder:
                path = Path(folder) / "part.parquet"
                fetch_part(self._store, self._manifest.version, shard, path)
                for _, _, vectors in rows_of(path, self._manifest.dimension):
                    sample += [self._field.numbers(vector) for vector in vectors if self._field.has_place(vector)]
                    if len(sample) >= SAMPLE:
                        return sample[:SAMPLE]
        return sample

    def _hits(self, cluster: Cluster, search: dict[str, Any]) -> dict[str, float]:
        answer = cluster.must("POST", f"/{self._index}/_search", search)
        _require_whole(answer, self._index)
        return {str(hit["_id"]): float(hit["_score"]) for hit in answer["hits"]["hits"]}

    def _switch(self, cluster: Cluster, before: Mapping[str, Content]) -> None:
        """The index takes the alias, in place of one of an earlier catalogue, at once."""
        settings = {"refresh_interval": None, "number_of_replicas": self._target.number_of_replicas}
        cluster.must("PUT", f"/{self._index}/_settings", {"index": settings})
        actions: list[dict[str, Any]] = [{"remove": {"index": index, "alias": self._alias}} for index in before]
        actions.append({"remove": {"index": self._index, "alias": self._index + LOADING}})
        actions.append({"add": {"index": self._index, "alias": self._alias}})
        cluster.must("POST", "/_aliases", {"actions": actions})

    def _remove_old(self, cluster: Cluster, kept: set[str]) -> None:
        """Remove this model's indices of versions that the store no longer has, which retention removed there, and
        those that have no alias of a version: replaced before this load, or never finished."""
        made = re.compile(rf"{re.escape(self._target.index)}-v[0-9a-f]{{12}}(-[0-9]*b?)?-[0-9a-f]{{12}}")
        for index, about in (cluster.found(f"/{self._target.index}-v*") or {}).items():
            content = _content(about)
            if not made.fullmatch(index) or content is None or content.store != self._content.store:
                continue
            named = any(not alias.endswith(LOADING) for alias in about.get("aliases", {}))
            alive = self._store.stat(store_layout.manifest(content.version)) is not None
            if index in kept or (named and alive):
                continue
            cluster.must("DELETE", f"/{index}?ignore_unavailable=true")
            log.info("an index that is no longer needed is removed", extra={"index": index})


def _content(about: Mapping[str, Any]) -> Content | None:
    return content_in((about.get("mappings") or {}).get("_meta"))


def _require_whole(answer: Mapping[str, Any], index: str) -> None:
    """Raises DatabaseFailed for an answer of some of the index's shards only."""
    shards = answer.get("_shards") or {}
    if shards.get("failed") or answer.get("timed_out"):
        raise DatabaseFailed(f"{shards.get('failed')} of {shards.get('total')} shards of {index} did not answer")
