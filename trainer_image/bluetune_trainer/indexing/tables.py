"""Tables of PostgreSQL with pgvector: their names, what is written on them, and the rows as COPY takes them.

Names come from the API, whose pattern lets nothing through that needs quotes, and are quoted all the same. What a table
holds is said by its comment: whoever made it without one is not bluetune.
"""

import json
import struct
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from bluetune_api.index_target import Pgvector
from bluetune_trainer.errors import PlanInvalid

MOST_DIMENSIONS = 2000
"""That an HNSW index of pgvector takes."""
OPERATORS = {
    "cosine": ("vector_cosine_ops", "<=>"),
    "dot": ("vector_ip_ops", "<#>"),
    "euclidean": ("vector_l2_ops", "<->"),
    "manhattan": ("vector_l1_ops", "<+>"),
}
"""By what vectors are to be compared by: the index's operator class, and the operator that uses it."""
LOADING = "_load"
"""Behind the name of a table that is being filled."""

HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
TRAILER = struct.pack(">h", -1)


@dataclass(frozen=True)
class Content:
    """What a table holds, as its comment says."""

    store: str
    """The model's store: tables of other models are left alone."""
    version: str
    generation: str
    loaded: tuple[int, ...] = field(default=())
    """Shards that are in it, while it is being filled."""

    def encode(self) -> str:
        """As the comment."""
        return json.dumps({"bluetune": asdict(self)}, sort_keys=True)

    def with_shard(self, shard: int) -> "Content":
        """With one more shard in it."""
        return replace(self, loaded=(*self.loaded, shard))

    def same_index(self, other: "Content") -> bool:
        """Whether both are of one index."""
        return (self.store, self.version, self.generation) == (other.store, other.version, other.generation)


def content_of(comment: str | None) -> Content | None:
    """What a comment says; None for one that bluetune did not write."""
    try:
        said = json.loads(comment or "")["bluetune"]
        return Content(
            str(said["store"]), str(said["version"]), str(said["generation"]), tuple(int(n) for n in said["loaded"])
        )
    except (ValueError, TypeError, KeyError):
        return None


def table_name(target: Pgvector, version: str) -> str:
    """Name of a version's table."""
    return f"{target.table}_{version}"


def qualified(target: Pgvector, name: str) -> sql.Identifier:
    """A table of the target's schema, quoted."""
    return sql.Identifier(target.db_schema, name)


def require_fitting(dimension: int) -> None:
    """Raises PlanInvalid for vectors that cannot be indexed."""
    if dimension > MOST_DIMENSIONS:
        raise PlanInvalid(
            f"the version's vectors have {dimension} numbers, and an HNSW index of pgvector takes {MOST_DIMENSIONS} at"
            " most; use a model of fewer dimensions, or serving.index.target Parquet"
        )


def binary_rows(
    ids: Sequence[str], digests: Iterable[str], vectors: NDArray[np.float32], version: str
) -> Iterable[bytes]:
    """Rows as COPY (FORMAT binary) takes them: id, vector, text_digest, version."""
    dimension = vectors.shape[1]
    head = struct.pack(">ihh", 4 + 4 * dimension, dimension, 0)
    big_endian, of_version = vectors.astype(">f4"), _text(version)
    for item_id, digest, vector in zip(ids, digests, big_endian, strict=True):
        yield struct.pack(">h", 4) + _text(item_id) + head + vector.tobytes() + _text(digest) + of_version


def _text(value: str) -> bytes:
    data = value.encode()
    return struct.pack(">i", len(data)) + data
