"""The Parquet file of a shard: columns id, vector, text_digest and version."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bluetune_api import store_layout
from bluetune_api.index_records import IndexShard
from bluetune_api.index_target import VectorType
from bluetune_api.objectstore import ObjectStore
from bluetune_trainer.errors import StoreDamaged

ROWS_READ = 1024


ARROW: Mapping[VectorType, Any] = {"Float32": pa.float32(), "Float16": pa.float16(), "Int8": pa.int8()}
"""Numbers of vectors."""


def schema(dimension: int, kind: VectorType = "Float32") -> Any:
    """The columns of a part."""
    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("vector", pa.list_(pa.field("item", ARROW[kind], nullable=False), dimension), nullable=False),
            pa.field("text_digest", pa.string(), nullable=False),
            pa.field("version", pa.string(), nullable=False),
        ]
    )


class PartWriter:
    """Writes a part, some rows at a time."""

    def __init__(self, path: Path, version: str, dimension: int, kind: VectorType = "Float32") -> None:
        self._version, self._kind, self._schema = version, kind, schema(dimension, kind)
        self._writer = pq.ParquetWriter(
            path,
            self._schema,
            compression={"id": "zstd", "vector.list.element": "none", "text_digest": "none", "version": "zstd"},
            # Parquet has no number of 8 bits but the place in a dictionary: all values there are, so one byte each
            use_dictionary=["version", *(["vector.list.element"] if kind == "Int8" else [])],
            write_statistics=["id"],
        )
        self.rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._writer.close()

    def write(self, ids: Sequence[str], digests: Sequence[str], vectors: NDArray[Any]) -> None:
        """Add rows, as a row group; digests in hexadecimal, vectors of the part's type of numbers."""
        vector_type = self._schema.field("vector").type
        columns = [
            pa.array(ids, pa.string()),
            pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel(), ARROW[self._kind]), type=vector_type),
            pa.array(digests, pa.string()),
            pa.array([self._version] * len(ids), pa.string()),
        ]
        self._writer.write_table(pa.table(columns, schema=self._schema))
        self.rows += len(ids)


def fetch_part(store: ObjectStore, version: str, shard: IndexShard, path: Path) -> None:
    """Download a part, and see that it is the one that was written. Raises StoreDamaged if it is not."""
    key = store_layout.index(version) + shard.path
    store.download(key, path)
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != shard.sha256:
        raise StoreDamaged(
            f"{store.uri(key)} has the sha256 {found}, the index's manifest says {shard.sha256}; remove it, and roll"
            " out again",
            reason="DigestMismatch",
        )


def rows_of(path: Path, dimension: int) -> Iterator[tuple[list[str], list[str], NDArray[np.float32]]]:
    """Ids, digests of texts and vectors of a part, a block at a time. Numbers of any type come as float32.

    Raises ValueError (pyarrow's are such) for a file that is no part of this dimension.
    """
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=ROWS_READ, columns=["id", "vector", "text_digest"]):
            vectors = batch.column("vector").flatten().to_numpy(zero_copy_only=False)
            if len(vectors) != batch.num_rows * dimension:
                raise ValueError(f"its vectors do not have {dimension} numbers each")
            yield (
                batch.column("id").to_pylist(),
                batch.column("text_digest").to_pylist(),
                np.asarray(vectors, np.float32).reshape(-1, dimension),
            )
