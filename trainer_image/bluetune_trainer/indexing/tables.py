"""Tables of PostgreSQL with pgvector: their names, what is written on them, and the rows as COPY takes them.

Names come from the API, whose pattern lets nothing through that needs quotes, and are quoted all the same.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from bluetune_api.index_target import Pgvector, VectorType
from bluetune_trainer.errors import PlanInvalid

OPERATORS = {"cosine": ("cosine", "<=>"), "dot": ("ip", "<#>"), "euclidean": ("l2", "<->"), "manhattan": ("l1", "<+>")}
"""For each similarity: its name in pgvector's operator classes, and its operator."""


@dataclass(frozen=True)
class Column:
    """A type of pgvector."""

    name: str
    number: str
    """numpy's type of a number as COPY takes it."""
    most_dimensions: int
    """Maximum number of dimensions that an HNSW index takes."""


COLUMNS: Mapping[VectorType, Column] = {
    "Float32": Column("vector", ">f4", 2000),
    "Float16": Column("halfvec", ">f2", 4000),
}
LOADING = "_load"
"""Behind the name of a table that is being filled."""

HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
TRAILER = struct.pack(">h", -1)


def qualified(target: Pgvector, name: str) -> sql.Identifier:
    """A table of the target's schema, quoted."""
    return sql.Identifier(target.db_schema, name)


def column_of(dimension: int, kind: VectorType) -> Column:
    """The type that holds vectors. Raises PlanInvalid for those that cannot be indexed."""
    if kind not in COLUMNS:
        raise PlanInvalid(f"pgvector has no type for vectors of {kind}; set serving.index.vectors.type to Float16")
    column = COLUMNS[kind]
    if dimension > column.most_dimensions:
        half = COLUMNS["Float16"].most_dimensions
        or_half = "set serving.index.vectors.type to Float16, or " if kind == "Float32" and dimension <= half else ""
        raise PlanInvalid(
            f"the index's vectors have {dimension} numbers, and an HNSW index of pgvector takes"
            f" {column.most_dimensions} of {kind} at most; {or_half}set serving.index.vectors.dimensions to"
            f" {column.most_dimensions} or fewer, or use serving.index.target Parquet"
        )
    return column


def binary_rows(
    ids: Sequence[str], digests: Iterable[str], vectors: NDArray[np.float32], version: str, column: Column
) -> Iterable[bytes]:
    """Rows as COPY (FORMAT binary) takes them: id, vector, text_digest, version."""
    numbers, dimension, of_version = vectors.astype(column.number), vectors.shape[1], _text(version)
    head = struct.pack(">ihh", 4 + numbers.itemsize * dimension, dimension, 0)
    for item_id, digest, vector in zip(ids, digests, numbers, strict=True):
        yield struct.pack(">h", 4) + _text(item_id) + head + vector.tobytes() + _text(digest) + of_version


def _text(value: str) -> bytes:
    data = value.encode()
    return struct.pack(">i", len(data)) + data
