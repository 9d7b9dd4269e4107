"""Where an item of an index belongs, and what a spool on disk gives back."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluetune_trainer.indexing.places import BUCKETS, bucket_of, overlap, place_of, shard_of
from bluetune_trainer.indexing.spool import Buckets, ItemSpool, VectorSpool

counts = st.integers(1, 256)


@given(st.text(), counts)
def test_an_item_belongs_to_one_shard_and_one_bucket_of_it(item_id: str, shards: int) -> None:
    place = place_of(item_id)
    assert 0 <= shard_of(place, shards) < shards
    assert 0 <= bucket_of(place, shards) < BUCKETS


@given(st.text(), counts, counts)
def test_shards_of_two_divisions_that_share_an_item_overlap(item_id: str, shards: int, others: int) -> None:
    place = place_of(item_id)
    assert overlap(shard_of(place, shards), shards, shard_of(place, others), others)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((0, 2), (0, 4), True),
        ((0, 2), (1, 4), True),
        ((0, 2), (2, 4), False),
        ((1, 2), (1, 3), True),
        ((0, 2), (2, 3), False),
    ],
)
def test_shards_that_share_no_place_do_not(one: tuple[int, int], other: tuple[int, int], expected: bool) -> None:
    assert overlap(*one, *other) == overlap(*other, *one) == expected


def test_items_spread_evenly() -> None:
    found = np.bincount([shard_of(place_of(f"sku-{n}"), 8) for n in range(8000)], minlength=8)
    assert found.min() > 850
    assert found.max() < 1150


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "é", ""]), st.none() | st.text()), max_size=20))
def test_of_several_lines_the_last_counts(
    tmp_path_factory: pytest.TempPathFactory, lines: list[tuple[str, str]]
) -> None:
    expected: dict[str, str] = {}
    for item_id, text in lines:
        if text is None:
            expected.pop(item_id, None)
        else:
            expected[item_id] = text
    with Buckets(tmp_path_factory.mktemp("spool"), "items") as buckets:
        spool = ItemSpool(buckets)
        for item_id, text in lines:
            spool.add(3, item_id, text)
        assert spool.take(2) == []
        assert spool.take(3) == sorted(expected.items())
        assert spool.take(3) == [], "what was taken is gone from the disk"


def test_vectors_come_back_as_they_were(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    with Buckets(tmp_path, "vectors") as buckets:
        spool = VectorSpool(buckets, 7)
        for number, vector in enumerate(vectors):
            spool.add(0, bytes([number]) * 32, vector)
        found = dict(spool.take(0))
    assert [digest[0] for digest in found] == list(range(5))
    assert all(np.array_equal(found[bytes([n]) * 32], vectors[n]) for n in range(5))
