"""Vectors that an index cannot have, or need not have, are refused with what to set."""

import json

import numpy as np
import pytest

from bluetune_api.index_records import IndexProgress
from bluetune_api.index_target import OpenSearch, Vectors, VectorType
from bluetune_api.records import IndexPlan
from bluetune_trainer.cli.indexing import require_indexable, require_shorter
from bluetune_trainer.cli.laptop_index import progress_in_words
from bluetune_trainer.errors import DataInvalid, PlanInvalid
from bluetune_trainer.indexing import search_documents
from bluetune_trainer.indexing.search_cluster import reason_in
from bluetune_trainer.indexing.search_documents import bulks, field_for, lines_of
from bluetune_trainer.indexing.tables import column_of


def plan(vectors: Vectors | None) -> IndexPlan:
    return IndexPlan(version="v000000000001", digest="sha256:" + "1" * 64, run="r1", vectors=vectors)


@pytest.mark.parametrize(
    "vectors",
    [None, Vectors(dimensions=383), Vectors(type="Int8"), Vectors(dimensions=384, type="Float16")],
    ids=str,
)
def test_vectors_that_are_shorter_are_made(vectors: Vectors | None) -> None:
    require_shorter(plan(vectors), 384)


@pytest.mark.parametrize(
    ("vectors", "words"),
    [
        (Vectors(dimensions=385), "set fewer than 384, or leave it out"),
        (Vectors(dimensions=385, type="Int8"), "set 384 or fewer, or leave it out"),
        (Vectors(dimensions=384), "384 dimensions of Float32, which the version's vectors are: a second index"),
    ],
    ids=str,
)
def test_vectors_that_are_not_shorter_are_refused(vectors: Vectors, words: str) -> None:
    with pytest.raises(PlanInvalid) as raised:
        require_shorter(plan(vectors), 384)
    assert words in raised.value.message


@pytest.mark.parametrize(
    ("dimension", "kind", "advice"),
    [
        (
            2001,
            "Float32",
            "at most; set serving.index.vectors.type to Float16, or set serving.index.vectors.dimensions to",
        ),
        (4096, "Float32", "at most; set serving.index.vectors.dimensions to 2000 or fewer, or use"),
        (4096, "Float16", "at most; set serving.index.vectors.dimensions to 4000 or fewer, or use"),
        (10, "Int8", "no type for vectors of Int8; set serving.index.vectors.type to Float16"),
    ],
)
def test_what_pgvector_cannot_index_is_refused_with_what_it_can(dimension: int, kind: VectorType, advice: str) -> None:
    with pytest.raises(PlanInvalid) as raised:
        column_of(dimension, kind)
    assert advice in raised.value.message


@pytest.mark.parametrize(
    ("dimension", "similarity", "kind", "advice"),
    [
        (16001, "cosine", "Float32", "16000 at most; set serving.index.vectors.dimensions to 16000 or fewer"),
        (10, "cosine", "Float16", "no type for vectors of Float16; set serving.index.vectors.type to Int8"),
        (10, "manhattan", "Int8", "similarity is manhattan, and the engine lucene of OpenSearch has cosine, dot, eucl"),
    ],
)
def test_what_opensearch_cannot_index_is_refused_before_anything_is_encoded(
    dimension: int, similarity: str, kind: VectorType, advice: str
) -> None:
    target = OpenSearch(url="https://search:9200")
    vectors = None if kind == "Float32" else Vectors(type=kind)
    with pytest.raises(PlanInvalid) as raised:
        require_indexable(plan(vectors).model_copy(update={"opensearch": target}), dimension, similarity)
    assert advice in raised.value.message
    require_indexable(plan(vectors), dimension, similarity)
    fits = plan(Vectors(dimensions=256, type="Int8")).model_copy(update={"opensearch": target})
    require_indexable(fits, 20000, "cosine")


def test_documents_are_by_the_items_id_in_requests_of_a_few_megabytes(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = np.array([[1, -127], [0, 0], [3, 4], [5, 6]], np.float32)
    ids = ["é", "b", "c", "d"]
    lines = list(lines_of(ids, ["x"] * 4, vectors, field_for(2, "cosine", "Int8")))
    assert [one.item_id for one in lines] == ids
    documents = [json.loads(one.data.splitlines()[1]) for one in lines]
    assert documents[:2] == [{"text_digest": "x", "vector": [1, -127]}, {"text_digest": "x"}]
    assert json.loads(lines[0].data.splitlines()[0]) == {"index": {"_id": "é"}}
    monkeypatch.setattr(search_documents, "BULK_BYTES", sum(len(one.data) for one in lines[:3]))
    assert list(bulks(iter(lines))) == [lines[:3], lines[3:]]


def test_an_id_that_is_too_long_for_opensearch_is_told() -> None:
    long, vectors = "é" * 257, np.ones((1, 2), np.float32)
    with pytest.raises(DataInvalid, match="has 514 bytes, and OpenSearch takes 512"):
        list(lines_of([long], ["x"], vectors, field_for(2, "dot", "Float32")))
    assert list(lines_of([long[1:]], ["x"], vectors, field_for(2, "dot", "Float32")))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (None, "no reason"),
        ("a  proxy\n's page", "a proxy 's page"),
        ({"type": "t"}, "t"),
        ({"reason": "outer", "caused_by": {"reason": "inner", "caused_by": {"reason": "innermost"}}}, "innermost"),
        ({"reason": "outer", "caused_by": None}, "outer"),
    ],
)
def test_an_error_of_opensearch_is_its_innermost_cause(error: object, words: str) -> None:
    assert reason_in(error) == words


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"stage": "Reading"}, "reading"),
        ({"stage": "Reading", "done": 5, "total": 10, "rate": 2.5}, "reading: 5 of 10 items, 2.5 a second"),
        (
            {"stage": "Shortening", "done": 5, "total": 10, "rate": 2.5, "secondsLeft": 2},
            "shortening: 5 of 10 items, 2.5 a second, 2 s left",
        ),
    ],
)
def test_how_far_a_laptop_is_in_words(fields: dict[str, object], words: str) -> None:
    told = IndexProgress.model_validate({"updatedAt": "2026-01-01T00:00:00Z"} | fields)
    assert progress_in_words(told) == words
