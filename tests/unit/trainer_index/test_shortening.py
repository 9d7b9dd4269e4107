"""Vectors made shorter: what becomes of each, and what is said to be lost, against a search of one's own."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bluetune_api.index_records import IndexManifest
from bluetune_trainer.errors import DataInvalid
from bluetune_trainer.indexing.shortening import Comparison, Shortening, scale_of, scores

SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan")


def drawn(rows: int, dimension: int = 24, seed: int = 0) -> NDArray[np.float32]:
    found = np.random.default_rng(seed).normal(size=(rows, dimension)).astype(np.float32)
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float32)


@pytest.mark.parametrize(
    ("how", "vector", "expected"),
    [
        (Shortening(2, "Float32", unit=False), [3.0, 4.0, 12.0], [3.0, 4.0]),
        (Shortening(2, "Float32", unit=True), [3 / 13, 4 / 13, 12 / 13], [0.6, 0.8]),
        (Shortening(2, "Float32", unit=True), [0.0, 0.0, 1.0], [0.0, 0.0]),
        (Shortening(2, "Float16", unit=False), [0.1, -2.0, 9.0], [np.float16(0.1), -2.0]),
        (Shortening(3, "Int8", unit=False, scale=0.5), [1.0, -0.8, 100.0], [2, -2, 127]),
        (Shortening(3, "Int8", unit=False, scale=0.5), [-100.0, 0.2, 0.0], [-127, 0, 0]),
    ],
)
def test_what_becomes_of_a_vector(how: Shortening, vector: list[float], expected: list[Any]) -> None:
    found = how.apply(np.array([vector], np.float32))
    assert found.dtype == {"Float32": np.float32, "Float16": np.float16, "Int8": np.int8}[how.type]
    assert np.allclose(found[0].astype(np.float32), np.array(expected, np.float32), atol=1e-6)


def test_the_vectors_that_come_in_stay_as_they_are() -> None:
    vectors = drawn(3)
    before = vectors.copy()
    Shortening(24, "Float32", unit=True).apply(vectors)
    assert np.array_equal(vectors, before)


def test_the_largest_number_has_the_largest_place() -> None:
    scale = scale_of(0.4)
    assert Shortening(2, "Int8", unit=False, scale=scale).apply(np.array([[0.4, -0.4]], np.float32)).tolist() == [
        [127, -127]
    ]
    assert scale_of(0.0) > 0


def test_a_number_too_large_for_float16_is_refused() -> None:
    with pytest.raises(DataInvalid, match="up to 7e\\+04, and Float16 holds 65504") as raised:
        Shortening(2, "Float16", unit=False).apply(np.array([[1.0, 70000.0]], np.float32))
    assert raised.value.reason == "IndexInvalid"


@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_higher_scores_are_nearer(similarity: str) -> None:
    items, query = drawn(50), drawn(1, seed=1)
    by = {
        "cosine": -(items @ query[0]),
        "dot": -(items @ query[0]),
        "euclidean": np.linalg.norm(items - query, axis=1),
        "manhattan": np.abs(items - query).sum(axis=1),
    }[similarity]
    assert np.argsort(-scores(query, items, similarity)[0]).tolist() == np.argsort(by).tolist()


def nearest(queries: NDArray[np.float32], items: NDArray[np.float32], similarity: str, *, own: bool) -> list[set[int]]:
    found = scores(queries, items, similarity)
    if own:
        found[np.arange(len(queries)), np.arange(len(queries))] = -np.inf
    return [set(row[:10].tolist()) for row in np.argsort(-found, axis=1)]


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize(
    "how",
    [
        Shortening(24, "Float32", unit=True),
        Shortening(6, "Float32", unit=True),
        Shortening(24, "Int8", unit=True, scale=0.05),
        Shortening(6, "Float16", unit=False),
    ],
)
def test_the_recall_is_that_of_an_exact_search_in_blocks_of_any_size(
    how: Shortening, own: bool, similarity: str
) -> None:
    items = drawn(300)
    queries = items[:40] if own else drawn(40, seed=1)
    comparison = Comparison(queries, how, similarity, items=own)
    for begin, end in ((0, 3), (3, 30), (30, 31), (31, 300)):
        comparison.add(items[begin:end], how.apply(items[begin:end]))
    full = nearest(queries, items, similarity, own=own)
    short = nearest(how.apply(queries).astype(np.float32), how.apply(items).astype(np.float32), similarity, own=own)
    expected = np.mean([len(a & b) / 10 for a, b in zip(full, short, strict=True)])
    ties = 0.02 if how.type == "Int8" else 1e-9  # whole numbers are often equally near
    assert comparison.recall() == pytest.approx(expected, abs=ties)
    assert (comparison.recall() == 1.0) == (how == Shortening(24, "Float32", unit=True))


def test_items_as_near_as_the_last_of_them_count_too() -> None:
    items = np.repeat(drawn(2), 20, axis=0)
    comparison = Comparison(items[:1], Shortening(24, "Int8", unit=True, scale=0.01), "cosine", items=False)
    comparison.add(items, Shortening(24, "Int8", unit=True, scale=0.01).apply(items))
    assert comparison.recall() == 1.0


def test_a_catalogue_of_few_items_counts_those_that_there_are() -> None:
    items = drawn(4)
    how = Shortening(2, "Float32", unit=True)
    comparison = Comparison(items, how, "cosine", items=True)
    comparison.add(items, how.apply(items))
    assert comparison.recall() == 1.0
    alone = Comparison(items[:1], how, "cosine", items=True)
    alone.add(items[:1], how.apply(items[:1]))
    assert alone.recall() == 1.0


def test_the_own_vectors_of_an_index_are_those_before_they_were_made_shorter() -> None:
    part = {"shard": 0, "path": "p", "rows": 1, "size": 1, "sha256": "0" * 64, "precision": "FP32", "encoded": 1}
    plain = {
        "version": "v000000000001",
        "digest": "sha256:" + "1" * 64,
        "generation": "0" * 12,
        "pinnedAt": "2026-01-01T00:00:00Z",
        "count": 1,
        "dimension": 2,
        "similarity": "cosine",
        "shards": [part],
    }
    vectors = {
        "type": "Int8",
        "fullDimension": 4,
        "unit": True,
        "scale": 0.5,
        "loss": {"recall": 1.0, "queries": 1, "searched": "Items"},
        "fullGeneration": "f" * 12,
        "fullShards": [part | {"path": "full"}],
    }
    assert IndexManifest.model_validate(plain).own_vectors()[0] == 2
    dimension, (shard,) = IndexManifest.model_validate(plain | {"vectors": vectors}).own_vectors()
    assert (dimension, shard.path) == (4, "full")
