"""The index in the store: whole or not at all, the first of two wins, and a damaged one is not opened."""

import json
from pathlib import Path

import numpy as np
import pytest
from search_service import index

from bluetune_api.objectstore import LocalStore

VERSION, DIGEST = "v000000000001", "sha256:" + "1" * 64
ITEMS = [index.Item(f"d{i}", f"title {i}", "", f"http://s/{i}") for i in range(30)]
VECTORS = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32)
VECTORS /= np.linalg.norm(VECTORS, axis=1, keepdims=True)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    store = LocalStore(tmp_path / "store")
    assert index.publish(store, VERSION, DIGEST, ITEMS, VECTORS, tmp_path / "table")
    return store


def test_it_finds_the_nearest_by_cosine(store: LocalStore, tmp_path: Path) -> None:
    opened = index.Index.fetch(store, VERSION, DIGEST, tmp_path / "served")
    hits = opened.search(VECTORS[7], 5)
    expected = np.argsort(-(VECTORS @ VECTORS[7]))[:5]
    assert opened.rows == 30
    assert [hit.object_id for hit in hits] == [ITEMS[i].item_id for i in expected]
    assert hits[0].score == pytest.approx(1.0, abs=1e-3)
    assert (hits[0].title, hits[0].url) == ("title 7", "http://s/7")


def test_of_two_jobs_the_first_wins_and_the_other_leaves_nothing(store: LocalStore, tmp_path: Path) -> None:
    before = [info.key for info in store.list("indexes/")]
    assert not index.publish(store, VERSION, DIGEST, ITEMS[:3], VECTORS[:3], tmp_path / "again")
    assert [info.key for info in store.list("indexes/")] == before


def test_a_version_without_an_index_says_what_to_do(store: LocalStore, tmp_path: Path) -> None:
    with pytest.raises(index.IndexMissing, match="run the reindex Job"):
        index.Index.fetch(store, "v000000000002", None, tmp_path / "served")


def test_an_index_of_another_digest_is_not_opened(store: LocalStore, tmp_path: Path) -> None:
    with pytest.raises(index.IndexMissing, match="index again"):
        index.Index.fetch(store, VERSION, "sha256:" + "2" * 64, tmp_path / "served")


def test_a_damaged_file_is_not_opened(store: LocalStore, tmp_path: Path) -> None:
    record = json.loads(store.get(index.announcement(VERSION)))
    (data,) = [file["path"] for file in record["files"] if file["path"].endswith(".lance")]
    store.put(record["folder"] + data, b"damaged")
    with pytest.raises(index.IndexMissing, match="damaged"):
        index.Index.fetch(store, VERSION, DIGEST, tmp_path / "served")


def test_items_are_read_from_every_file_of_the_folder(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put("items/a.jsonl", b'{"item_id": "1", "title": "A", "description": "b"}\n\n{"item_id": 2, "title": null}\n')
    store.put("items/b.jsonl", b'{"item_id": "3", "title": "C", "url": "http://c", "more": 1}\n')
    store.put("items/readme.txt", b"not items")
    items = index.read_items(store, "items/")
    assert [(item.item_id, item.text) for item in items] == [("1", "A. b"), ("2", ""), ("3", "C")]
