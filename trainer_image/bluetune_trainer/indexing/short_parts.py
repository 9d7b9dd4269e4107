"""The parts that servers read where vectors are made shorter: of the version's own vectors, part by part.

They are read twice for Int8: the scale is that of the whole index. Killed anywhere, the next run makes the same parts.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bluetune_api.index_records import IndexProgress, IndexRecall, IndexShard, ShorterVectors
from bluetune_api.objectstore import ObjectStore
from bluetune_api.records import IndexPlan, Manifest
from bluetune_trainer.indexing.announcing import Short, upload_part
from bluetune_trainer.indexing.parts import PartWriter, fetch_part, rows_of
from bluetune_trainer.indexing.shortening import Comparison, Shortening, scale_of
from bluetune_trainer.store.progress import now

QUERIES, MIN_QUERIES = 200, 20
"""Searches that are compared; with fewer clicked queries, items are searched for."""

Report = Callable[[IndexProgress], None]
Rows = tuple[list[str], list[str], NDArray[np.float32]]


def shorten(
    store: ObjectStore,
    plan: IndexPlan,
    version: Manifest,
    generation: str,
    full: str,
    shards: Sequence[IndexShard],
    *,
    unit: bool,
    queries: NDArray[np.float32] | None,
    report: Report,
    check: Callable[[], None],
) -> Short:
    """Write the short parts, and measure what they lose.

    Args:
        version: its vectors are in the shards.
        generation: of the short parts; `full` of the shards.
        unit: whether the version's vectors have the length 1.
        queries: [n, full dimension] vectors that are searched for; None: the first items.
        report: told how far it is.
        check: called between blocks; may raise to stop.

    Raises:
        DataInvalid: a number is too large for the type.
        StoreDamaged: a part is not the one that was written.
    """
    wanted = plan.vectors
    assert wanted is not None  # noqa: S101 - it is called for those
    cut = Shortening(wanted.dimensions or version.dimension, wanted.type, unit)
    sample, largest, total = list[NDArray[np.float32]](), 0.0, sum(shard.rows for shard in shards)
    told = _Told("Reading", total, report)
    for shard in shards:
        if wanted.type != "Int8" and (queries is not None or sum(map(len, sample)) >= QUERIES):
            break
        for _, _, vectors in _rows(store, plan, version, shard, check):
            if queries is None and sum(map(len, sample)) < QUERIES:
                sample.append(vectors)
            if wanted.type == "Int8":
                largest = max(largest, float(np.abs(cut.cut(vectors)).max(initial=0.0)))
            told.add(len(vectors))
    how = Shortening(cut.dimension, cut.type, unit, scale_of(largest) if wanted.type == "Int8" else None)
    searched = queries if queries is not None else np.concatenate(sample)[:QUERIES]
    comparison = Comparison(searched, how, version.similarity, items=queries is None)
    made, told = list[IndexShard](), _Told("Shortening", total, report)
    for shard in shards:
        with tempfile.TemporaryDirectory(prefix="bluetune-short-") as folder:
            path = Path(folder) / "part.parquet"
            with PartWriter(path, plan.version, how.dimension, how.type) as part:
                for ids, digests, vectors in _rows(store, plan, version, shard, check):
                    short = how.apply(vectors)
                    part.write(ids, digests, short)
                    comparison.add(vectors, short)
                    told.add(len(ids))
            bf16 = shard.precision == "BF16"
            made.append(
                upload_part(
                    store, plan, generation, shard.shard, path, rows=shard.rows, encoded=shard.encoded, bf16=bf16
                )
            )
    loss = IndexRecall(
        recall=comparison.recall(),
        queries=len(searched),
        searched="Items" if queries is None else "ClickedQueries",
    )
    return Short(
        dimension=how.dimension,
        shards=made,
        vectors=ShorterVectors(
            type=how.type,
            full_dimension=version.dimension,
            unit=unit,
            scale=how.scale,
            loss=loss,
            full_generation=full,
            full_shards=list(shards),
        ),
    )


class _Told:
    """How far a pass over all items is."""

    def __init__(self, stage: Literal["Reading", "Shortening"], total: int, report: Report) -> None:
        self._stage, self._total, self._report = stage, total, report
        self._done, self._begun = 0, time.monotonic()

    def add(self, items: int) -> None:
        """So many more are done."""
        self._done += items
        rate = self._done / max(time.monotonic() - self._begun, 1e-3)
        self._report(
            IndexProgress(
                stage=self._stage,
                done=self._done,
                total=self._total,
                rate=round(rate, 1),
                seconds_left=round((self._total - self._done) / rate) if rate else None,
                updated_at=now(),
            )
        )


def _rows(
    store: ObjectStore, plan: IndexPlan, version: Manifest, shard: IndexShard, check: Callable[[], None]
) -> Iterator[Rows]:
    with tempfile.TemporaryDirectory(prefix="bluetune-full-") as folder:
        path = Path(folder) / "part.parquet"
        fetch_part(store, plan.version, shard, path)
        for block in rows_of(path, version.dimension):
            check()
            yield block
