"""An index of random vectors in a store, as the encoder writes one."""

import hashlib
from pathlib import Path

import numpy as np

from bluetune_api import store_layout
from bluetune_api.index_records import IndexManifest, IndexRecall, IndexShard, ShorterVectors
from bluetune_api.index_target import VectorType
from bluetune_api.objectstore import LocalStore
from bluetune_trainer.indexing.encoding import text_digest
from bluetune_trainer.indexing.parts import PartWriter
from bluetune_trainer.store.runs import encode

DIMENSION, ROWS, SHARDS = 16, 100, 3


def random_index(
    store: LocalStore,
    version: str,
    *,
    seed: int = 0,
    similarity: str = "cosine",
    rows: int = ROWS,
    kind: VectorType = "Float32",
    zeros: int = 0,
) -> IndexManifest:
    """Write it; ids are such that nothing but quoting holds them. Int8 is of numbers up to 127. The vectors of
    the first `zeros` items are of length 0."""
    rng, shards = np.random.default_rng(seed), list[IndexShard]()
    generation = f"{seed:012x}"
    store.put(store_layout.manifest(version), b"{}")
    for number in range(SHARDS):
        vectors = rng.normal(size=(rows, DIMENSION)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors[: zeros if number == 0 else 0] = 0
        written = np.rint(vectors * 127).astype(np.int8) if kind == "Int8" else vectors
        ids = [f"item-{number}-{row}'\"\\" for row in range(rows)]
        name = f"{generation}/part-{number}.parquet"
        path = Path(store.uri(store_layout.index(version) + name))
        path.parent.mkdir(parents=True, exist_ok=True)
        with PartWriter(path, version, DIMENSION, kind) as part:
            part.write(ids, [text_digest(item_id).hex() for item_id in ids], written)

        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        shards.append(
            IndexShard(
                shard=number,
                path=name,
                rows=rows,
                size=path.stat().st_size,
                sha256=sha256,
                precision="FP32",
                encoded=rows,
            )
        )
    manifest = IndexManifest.model_validate(
        {
            "version": version,
            "digest": "sha256:" + "1" * 64,
            "generation": generation,
            "pinnedAt": "2026-01-01T00:00:00Z",
            "count": rows * SHARDS,
            "dimension": DIMENSION,
            "similarity": similarity,
            "shards": [shard.wire() for shard in shards],
        }
    )
    store.put(store_layout.index_manifest(version), encode(manifest))
    return manifest


def shorter(manifest: IndexManifest, kind: VectorType) -> IndexManifest:
    """The index, as if its vectors had been made so of longer ones."""
    made = ShorterVectors(
        type=kind,
        full_dimension=2 * DIMENSION,
        unit=True,
        loss=IndexRecall(recall=1.0, queries=1, searched="Items"),
        full_generation="f" * 12,
        full_shards=[],
    )
    return manifest.model_copy(update={"vectors": made})
