"""Vectors that an index cannot have, or need not have, are refused with what to set."""

import pytest

from bluetune_api.index_records import IndexProgress
from bluetune_api.index_target import Vectors, VectorType
from bluetune_api.records import IndexPlan
from bluetune_trainer.cli.indexing import require_shorter
from bluetune_trainer.cli.laptop_index import progress_in_words
from bluetune_trainer.errors import PlanInvalid
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
