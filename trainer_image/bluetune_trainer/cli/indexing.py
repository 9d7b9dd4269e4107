"""Index: encode the catalogue with a version, and write the vectors below `indexes/<version>/`."""

import logging
import os
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bluetune_api import store_layout
from bluetune_api.index_records import IndexCatalogue, IndexManifest, IndexProgress, IndexShard
from bluetune_api.objectstore import ObjectStore
from bluetune_api.records import IndexPlan, Manifest, Plan
from bluetune_trainer.data.reading import Reader
from bluetune_trainer.errors import PlanInvalid, raise_if
from bluetune_trainer.indexing.announcing import (
    Short,
    announce_index,
    announce_shard,
    pinned,
    read_index,
    whole_shard,
)
from bluetune_trainer.indexing.queries import clicked_queries
from bluetune_trainer.indexing.reading import STOPPED, spool_items, spool_vectors
from bluetune_trainer.indexing.search_documents import field_for
from bluetune_trainer.indexing.short_parts import MIN_QUERIES, QUERIES, shorten
from bluetune_trainer.indexing.spool import Buckets, ItemSpool, VectorSpool
from bluetune_trainer.plugin.blame import blaming
from bluetune_trainer.plugin.resolve import Resolved, resolve
from bluetune_trainer.store.progress import RecordWriter, now
from bluetune_trainer.store.versions import download_version, read_manifest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bluetune_trainer.training.model import Model

log = logging.getLogger(__name__)

Report = Callable[[IndexProgress], None]

COMPLETION_INDEX = "JOB_COMPLETION_INDEX"
"""Variable of a pod of an indexed Job: its number."""


@dataclass(frozen=True)
class Opened:
    """The version, ready to encode."""

    model: "Model"
    bf16: bool


class Indexer:
    """Makes the shards of one index. The version is opened when the first of them is encoded."""

    def __init__(self, store: ObjectStore, plan: Plan, *, gpus: int = 0, stop: threading.Event) -> None:
        """Raises PlanInvalid for a version that there is not, or a method that an index of one vector an item does not
        fit."""
        assert plan.index is not None  # noqa: S101 - the plan was judged when it was read
        self._store, self._plan, self._index, self._gpus, self._stop = store, plan, plan.index, gpus, stop
        self._resolved = resolve(plan.method)
        _require_whole_items(self._resolved)
        self._manifest, _ = read_manifest(store, plan.index.version, digest=plan.index.digest)
        require_shorter(plan.index, self._manifest.dimension)
        require_indexable(plan.index, self._manifest.dimension, self._manifest.similarity)
        self._catalogue = pinned(store, plan.index, plan.method)
        self._opened: Opened | None = None

    @property
    def catalogue(self) -> IndexCatalogue:
        """What is indexed."""
        return self._catalogue

    def make(self, shard: int, report: Report) -> IndexShard:
        """A shard, encoded unless it is there.

        Raises:
            DataInvalid: the catalogue is broken, or changed since it was pinned.
            Stopped: `stop` was set.
        """
        there = whole_shard(self._store, self._index, self._catalogue.generation, shard)
        if there is not None:
            log.info("the part is there already", extra={"shard": shard, "items": there.rows})
            return there
        raise_if(self._stop, STOPPED)
        with tempfile.TemporaryDirectory(prefix="bluetune-index-") as folder:
            return self._encode(shard, Path(folder), report)

    def finish(self, report: Report) -> IndexManifest | None:
        """Make vectors shorter if the plan says so, and write the manifest, if every shard is there.

        Raises:
            DataInvalid: the catalogue has no items, or their numbers do not fit the type.
            PlanInvalid: shorter vectors lose too much.
            Stopped: `stop` was set.
        """

        def make_short(generation: str, full: str, shards: list[IndexShard]) -> Short:
            return shorten(
                self._store,
                self._index,
                self._manifest,
                generation,
                full,
                shards,
                unit=self._open().model.unit,
                queries=self._queries(report),
                report=report,
                check=lambda: raise_if(self._stop, STOPPED),
            )

        return announce_index(self._store, self._index, self._catalogue, self._manifest, make_short)

    def _queries(self, report: Report) -> "NDArray[np.float32] | None":
        """Vectors of clicked queries; None if there are too few."""
        batch, opened = self._manifest.batch_id, self._open()
        if batch is None:
            return None
        report(IndexProgress(stage="Reading", updated_at=now()))
        with (
            tempfile.TemporaryDirectory(prefix="bluetune-queries-") as folder,
            blaming(self._plan.method.plugin, *self._resolved.user_code),
        ):
            found = clicked_queries(
                self._store,
                batch,
                self._plan.method,
                self._resolved.plugin,
                QUERIES,
                workdir=Path(folder),
                stop=self._stop,
            )
            if len(found) < MIN_QUERIES:
                return None
            return opened.model.encode(found, "query", bf16=opened.bf16, files=Reader(self._store, self._stop))

    def _encode(self, shard: int, workdir: Path, report: Report) -> IndexShard:
        report(IndexProgress(stage="Reading", updated_at=now()))
        division = {"shard": shard, "shards": self._index.shards}
        with Buckets(workdir, "items") as lines, Buckets(workdir, "vectors") as vectors:
            items = ItemSpool(lines)
            with blaming(self._plan.method.plugin, *self._resolved.user_code):
                spool_items(
                    self._store,
                    self._catalogue,
                    self._plan.method,
                    self._resolved.plugin,
                    items,
                    **division,
                    workdir=workdir,
                    stop=self._stop,
                )
            opened = self._open()
            former, known = None, read_index(self._store, self._index.version)
            if known is not None and _fits(known, opened, self._index, self._manifest):
                former = VectorSpool(vectors, known.own_vectors()[0])
                spool_vectors(self._store, known, former, **division, workdir=workdir, stop=self._stop)
            part = workdir / "part.parquet"
            from bluetune_trainer.indexing.encoding import encode_shard  # torch, not before it is needed

            with blaming(self._plan.method.plugin, *self._resolved.user_code):
                done = encode_shard(
                    opened.model,
                    self._index.version,
                    items,
                    former,
                    part,
                    bf16=opened.bf16,
                    files=Reader(self._store, self._stop),
                    report=report,
                    check=lambda: raise_if(self._stop, STOPPED),
                )
            log.info("part encoded", extra={"shard": shard, "items": done.rows, "encoded": done.encoded})
            generation = self._catalogue.generation
            return announce_shard(
                self._store,
                self._index,
                generation,
                shard,
                part,
                rows=done.rows,
                encoded=done.encoded,
                bf16=opened.bf16,
            )

    def _open(self) -> Opened:
        if self._opened is None:
            from bluetune_trainer.training.machine import find_machine
            from bluetune_trainer.training.opening import open_served
            from bluetune_trainer.training.precision import use_bf16

            machine = find_machine(self._gpus)
            settings = self._resolved.method.settings
            with tempfile.TemporaryDirectory(prefix="bluetune-version-") as folder:
                into = Path(folder)
                download_version(self._store, self._index.version, into, digest=self._index.digest)
                with blaming(self._plan.method.plugin, *self._resolved.user_code):
                    model = open_served(into, settings, self._resolved.plugin)
            bf16 = use_bf16(settings.precision or "Auto", machine.device)
            log.info("encoding on", extra={"machine": machine.in_words(), "bf16": bf16})
            self._opened = Opened(model.to(machine.device), bf16)
        return self._opened


def shard_of_environment() -> int:
    """The shard that the pod of an indexed Job makes. Raises PlanInvalid if there is none."""
    text = os.environ.get(COMPLETION_INDEX, "")
    if not text.isdigit():
        raise PlanInvalid(
            f"{COMPLETION_INDEX} is {text!r}; it must be the number of the shard, as an indexed Job sets it"
        )
    return int(text)


def run_index(store: ObjectStore, plan: Plan, shard: int, *, gpus: int = 0, stop: threading.Event) -> str:
    """One shard of an index, and the manifest if it is the last. Returns what was done, in words.

    Raises:
        PlanInvalid: there is no such shard.
    """
    assert plan.index is not None  # noqa: S101 - the plan was judged when it was read
    if not 0 <= shard < plan.index.shards:
        raise PlanInvalid(f"{COMPLETION_INDEX} is {shard}, but the plan has {plan.index.shards} shards, from 0")
    indexer = Indexer(store, plan, gpus=gpus, stop=stop)
    writer = RecordWriter[IndexProgress](
        store, store_layout.index_shard_progress(plan.index.version, plan.index.run, shard)
    )
    writer.start()
    try:
        made = indexer.make(shard, writer.report)
        whole = indexer.finish(writer.report)
    finally:
        writer.close()
    return f"shard {shard}: {in_words(made)}; {_whole(whole)}"


def in_words(made: IndexShard) -> str:
    """A shard, for people."""
    return f"{made.rows} items, {made.encoded} of them encoded, the others as before"


def _whole(index: IndexManifest | None) -> str:
    return (
        f"the index is whole, {index.count} items{loss_in_words(index)}" if index else "other shards are not done yet"
    )


def loss_in_words(index: IndexManifest) -> str:
    """What its shorter vectors lose, as the end of a sentence; empty if they are the version's own."""
    if index.vectors is None:
        return ""
    loss = index.vectors.loss
    searched = "clicked queries" if loss.searched == "ClickedQueries" else "items"
    return (
        f", as {index.dimension} × {index.vectors.type}, which finds {loss.recall:.3f} of the 10 nearest"
        f" ({loss.queries} {searched})"
    )


def _require_whole_items(resolved: Resolved) -> None:
    """An index has one vector an item; a method that ranks items by their parts needs several."""
    if resolved.method.settings.long_items == "Split":
        raise PlanInvalid(
            "serving.index makes one vector an item, and settings.longItems: Split ranks items by their parts; use"
            " longItems: Truncate, or make the index by a Job of your own (serving.reindex)"
        )


def require_indexable(index: IndexPlan, dimension: int, similarity: str) -> None:
    """Raises PlanInvalid for vectors that the target, where the plan names one, cannot index."""
    if index.opensearch is None:
        return
    short = index.vectors
    field_for((short and short.dimensions) or dimension, similarity, short.type if short else "Float32")


def require_shorter(index: IndexPlan, dimension: int) -> None:
    """Raises PlanInvalid for more dimensions than the version's vectors have, and for vectors that are these."""
    if index.vectors is None or index.vectors.dimensions is None:
        return
    wanted, plain = index.vectors.dimensions, index.vectors.type == "Float32"
    if wanted > dimension:
        most = f"fewer than {dimension}" if plain else f"{dimension} or fewer"
        raise PlanInvalid(
            f"serving.index.vectors.dimensions is {wanted}, and the version's vectors have {dimension} numbers; set"
            f" {most}, or leave it out"
        )
    if wanted == dimension and plain:
        raise PlanInvalid(
            f"serving.index.vectors asks for {wanted} dimensions of Float32, which the version's vectors are: a second"
            " index would hold the same; set fewer dimensions or another type, or leave serving.index.vectors out"
        )


def _fits(known: IndexManifest, opened: Opened, index: IndexPlan, version: Manifest) -> bool:
    """Whether vectors of an index can be taken over: the same version computed them in the same precision, from texts;
    a picture may have changed under the same name."""
    precision = "BF16" if opened.bf16 else "FP32"
    dimension, shards = known.own_vectors()
    return (
        known.digest == index.digest
        and dimension == version.dimension
        and all(shard.precision == precision for shard in shards)
        and opened.model.tower("item").reads_words
    )
