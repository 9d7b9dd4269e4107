"""Indices of OpenSearch with its k-NN plugin: how they are made, documents as a bulk request takes them, searches.

The engine is lucene: it is in every OpenSearch, has a type for bytes, and its graphs are in the segments themselves.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bluetune_api.index_target import OpenSearch, VectorType
from bluetune_trainer.errors import DataInvalid, PlanInvalid
from bluetune_trainer.indexing.content import Content

SPACES = {"cosine": "cosinesimil", "dot": "innerproduct", "euclidean": "l2"}
"""For each similarity, its name in OpenSearch."""
DATA_TYPES: Mapping[VectorType, str] = {"Float32": "float", "Int8": "byte"}
MAX_DIMENSIONS = 16000
MAX_ID_BYTES = 512
NEAREST, CANDIDATES = 10, 100
"""Hits of a search, and how many of the nearest each segment's graph is asked for."""
BULK_BYTES = 4 * 2**20
"""About as much is sent at once."""


@dataclass(frozen=True)
class Field:
    """The field `vector` of an index."""

    dimension: int
    data_type: str
    space: str

    def body(self, target: OpenSearch, content: Content, filled_as: str) -> dict[str, Any]:
        """What makes an index that is to be filled: nothing is searchable, and there are no copies.

        Args:
            target: how it is made.
            content: what it will hold.
            filled_as: an alias that documents are written to: they are refused once the index is gone.
        """
        settings = {
            "knn": True,
            "number_of_shards": target.number_of_shards,
            "number_of_replicas": 0,
            "refresh_interval": "-1",
        }
        method = {"name": "hnsw", "engine": "lucene", "space_type": self.space}
        vector = {"type": "knn_vector", "dimension": self.dimension, "data_type": self.data_type, "method": method}
        return {
            "settings": {"index": settings},
            "aliases": {filled_as: {}},
            "mappings": {
                "_meta": content.document(),
                "_source": {"excludes": ["vector"]},
                "dynamic": "strict",
                "properties": {
                    "vector": vector,
                    "text_digest": {"type": "keyword", "index": False, "doc_values": False},
                },
            },
        }

    def numbers(self, vector: NDArray[np.float32]) -> list[float] | list[int]:
        """A vector as JSON has it."""
        numbers: list[float] | list[int] = (vector.astype(np.int8) if self.data_type == "byte" else vector).tolist()
        return numbers

    def has_place(self, vector: NDArray[np.float32]) -> bool:
        """Whether a vector can be searched for: one of length 0 has no cosine, and OpenSearch refuses it."""
        return self.space != "cosinesimil" or bool(np.any(vector))


def field_for(dimension: int, similarity: str, kind: VectorType) -> Field:
    """The field that holds vectors. Raises PlanInvalid for those that cannot be indexed."""
    if kind not in DATA_TYPES:
        raise PlanInvalid(
            f"the engine lucene of OpenSearch has no type for vectors of {kind}; set serving.index.vectors.type to"
            " Int8, or leave it out"
        )
    if similarity not in SPACES:
        raise PlanInvalid(
            f"the version's similarity is {similarity}, and the engine lucene of OpenSearch has {', '.join(SPACES)};"
            " use serving.index.target Parquet or Pgvector"
        )
    if dimension > MAX_DIMENSIONS:
        raise PlanInvalid(
            f"the index's vectors have {dimension} numbers, and OpenSearch takes {MAX_DIMENSIONS} at most; set"
            f" serving.index.vectors.dimensions to {MAX_DIMENSIONS} or fewer, or use serving.index.target Parquet"
        )
    return Field(dimension, DATA_TYPES[kind], SPACES[similarity])


@dataclass(frozen=True)
class Line:
    """A document of a bulk request."""

    item_id: str
    data: bytes


def lines_of(ids: Sequence[str], digests: Sequence[str], vectors: NDArray[np.float32], field: Field) -> Iterator[Line]:
    """Documents by the item's id. Raises DataInvalid for an id that is too long to be one of OpenSearch."""
    for item_id, digest, vector in zip(ids, digests, vectors, strict=True):
        if (size := len(item_id.encode())) > MAX_ID_BYTES:
            raise DataInvalid(
                f"item id {item_id[:60]!r}… has {size} bytes, and OpenSearch takes {MAX_ID_BYTES}; give the item a"
                " shorter id, or use serving.index.target Parquet or Pgvector"
            )
        document: dict[str, Any] = {"text_digest": digest}
        if field.has_place(vector):
            document["vector"] = field.numbers(vector)
        head = json.dumps({"index": {"_id": item_id}})
        yield Line(item_id, f"{head}\n{json.dumps(document)}\n".encode())


def bulks(lines: Iterator[Line]) -> Iterator[list[Line]]:
    """Lines for one request each."""
    held, size = list[Line](), 0
    for line in lines:
        held.append(line)
        size += len(line.data)
        if size >= BULK_BYTES:
            yield held
            held, size = [], 0
    if held:
        yield held


def close_search(vector: list[float] | list[int]) -> dict[str, Any]:
    """The nearest by the HNSW index."""
    return _search({"knn": {"vector": {"vector": vector, "k": CANDIDATES}}})


def exact_search(vector: list[float] | list[int], field: Field, among: Sequence[str] | None = None) -> dict[str, Any]:
    """The nearest of all, or of those items, by a look at each of them."""
    has_vector: dict[str, Any] = {"exists": {"field": "vector"}}
    script = {
        "lang": "knn",
        "source": "knn_score",
        "params": {"field": "vector", "query_value": vector, "space_type": field.space},
    }
    if among is not None:
        has_vector = {"bool": {"filter": [has_vector, {"ids": {"values": list(among)}}]}}
    return _search({"script_score": {"query": has_vector, "script": script}})


def _search(query: dict[str, Any]) -> dict[str, Any]:
    return {"size": NEAREST, "_source": False, "track_total_hits": False, "query": query}
