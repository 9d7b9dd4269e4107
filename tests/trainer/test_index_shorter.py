"""An index of shorter vectors: made of the version's own, and measured before it stands."""

import json
import shutil
import threading
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from bluetune_api import store_layout
from bluetune_api.index_records import IndexProgress
from bluetune_api.index_target import Vectors
from bluetune_api.records import digest_of, version_of
from bluetune_trainer.cli import indexing
from bluetune_trainer.cli.indexing import Indexer, run_index
from bluetune_trainer.errors import PlanInvalid
from trainer.index_world import (
    ITEMS,
    OPENED,
    Killed,
    World,
    base,
    dying_at,
    encoded_texts,
    imported,
    opened_once,
    world,
)

__all__ = ["base", "imported", "opened_once", "world"]  # fixtures

pytestmark = pytest.mark.usefixtures("opened_once")
INT8 = Vectors(dimensions=12, type="Int8", min_recall=0)


def own_vectors(world: World) -> dict[str, NDArray[np.float32]]:
    """The version's own, by id, as the full parts have them."""
    _, shards = world.manifest().own_vectors()
    folder = world.folder / store_layout.index(world.version.version)
    rows = [row for shard in shards for row in pq.read_table(folder / shard.path).to_pylist()]
    return {row["id"]: np.array(row["vector"], np.float32) for row in rows}


@pytest.mark.parametrize(
    "vectors", [INT8, Vectors(type="Float16", min_recall=0), Vectors(dimensions=12, min_recall=0)], ids=str
)
def test_a_reader_of_the_manifest_makes_of_full_vectors_what_the_parts_hold(world: World, vectors: Vectors) -> None:
    world.vectors = vectors
    manifest = world.index(3)
    made, own = manifest.vectors, own_vectors(world)
    assert made is not None
    assert (made.type, made.unit) == (vectors.type, True)
    assert manifest.dimension == (vectors.dimensions or made.full_dimension)
    assert sum(shard.rows for shard in manifest.shards) == manifest.count == ITEMS
    found = world.rows()
    assert found.keys() == own.keys()
    for key, vector in own.items():
        short = vector[: manifest.dimension]
        short = short / np.linalg.norm(short)
        if made.scale is not None:
            short = np.clip(np.round(short / made.scale), -127, 127)
        assert np.allclose(found[key][1], short, atol=1e-3 if made.scale is None else 1)
        assert made.scale is None or np.abs(found[key][1] - short).sum() <= 1  # of two halves each may be taken
    if vectors.type == "Int8":
        assert max(np.abs(vector).max() for _, vector in found.values()) == 127
    assert made.loss.searched == "Items"
    assert made.loss.queries == ITEMS
    assert 0.3 < made.loss.recall < 1


def test_a_number_of_int8_takes_a_byte(world: World, tmp_path: Any) -> None:
    from bluetune_trainer.indexing.parts import PartWriter

    vectors = np.random.default_rng(0).integers(-127, 128, size=(2048, 256)).astype(np.int8)
    path = tmp_path / "part.parquet"
    with PartWriter(path, "v000000000001", 256, "Int8") as part:
        part.write([str(n) for n in range(2048)], ["d"] * 2048, vectors)
    assert path.stat().st_size < 1.05 * vectors.nbytes
    assert pq.read_table(path).column("vector")[7].as_py() == vectors[7].tolist()


def test_what_loses_too_much_leaves_the_index_as_it_was_and_says_what_to_do(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = world.index(1)
    world.vectors = Vectors(dimensions=2, type="Int8", min_recall=0.99)
    with pytest.raises(
        PlanInvalid,
        match=r"of the 10 items .* \(mean of 150 items, as the version's batch has too few clicked queries\)",
    ) as e:
        world.index(1, run="r2")
    assert e.value.reason == "RecallTooLow"
    for words in (
        "minRecall is 0.99",
        "more than 2 of the",
        "matryoshkaDims",
        "a type with more bits",
        "lower minRecall",
    ):
        assert words in e.value.message
    assert world.manifest() == before

    def measured(*_: Any, **__: Any) -> Any:
        raise AssertionError("what was measured is not measured again")

    monkeypatch.setattr(indexing, "shorten", measured)
    with pytest.raises(PlanInvalid, match=r"minRecall is 0\.99"):
        world.index(1, run="r2")  # the next try
    world.vectors = Vectors(dimensions=2, type="Int8", min_recall=0)
    assert world.index(1, run="r3").vectors is not None
    world.vectors = Vectors(dimensions=2, type="Int8", min_recall=0.99)
    with pytest.raises(PlanInvalid, match=r"minRecall is 0\.99"):
        world.index(1, run="r4")  # also of one that is there


def test_other_vectors_of_the_same_catalogue_are_made_without_encoding_anything(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = world.index(2)
    seen = encoded_texts(monkeypatch)
    world.vectors = INT8
    second = world.index(2, run="r2")
    assert second.own_vectors()[1] == first.shards
    assert second.generation != first.generation
    told = list[IndexProgress]()
    Indexer(world.store, world.plan(2, "r3"), stop=threading.Event()).finish(told.append)
    assert not told, "it is there"
    lost = store_layout.index(world.version.version) + second.shards[1].path
    world.store.delete(lost)
    assert world.index(2, run="r4") == second
    assert world.store.stat(lost) is not None
    world.vectors = None
    assert world.index(2, run="r5").shards == first.shards
    assert seen == []


def test_a_changed_text_is_encoded_alone_beside_full_vectors_of_before(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.vectors = INT8
    world.index(2)
    world.write("b.jsonl", {"sku-3": "another text"})
    seen = encoded_texts(monkeypatch)
    manifest = world.index(3, run="r2")
    assert seen == ["another text"]
    assert len(world.rows()) == ITEMS
    folders = {info.key.split("/")[2] for info in world.store.list(f"indexes/{world.version.version}/")}
    assert manifest.vectors is not None
    assert {f for f in folders if not f.startswith("_")} == {manifest.generation, manifest.vectors.full_generation}


def test_killed_before_any_write_it_comes_to_the_same_index(world: World) -> None:
    world.vectors = INT8
    expected = world.index(2)
    kills = 0
    for write in range(20):
        for info in list(world.store.list("indexes/")):
            world.store.delete(info.key)
        dying = dying_at(world.store, write)
        try:
            for shard in range(2):
                run_index(dying, world.plan(2), shard, stop=threading.Event())
            break
        except Killed:
            kills += 1
        assert world.store.stat(store_layout.index_manifest(world.version.version)) is None
        found = world.index(2)
        assert (found.shards, found.vectors) == (expected.shards, expected.vectors)
    assert kills == 9  # pin; part and record of each of two shards; two short parts and their record; manifest


def learned_from(world: World, sessions: list[dict[str, Any]]) -> None:
    """The version, as if it had been trained on a batch of these."""
    store, version = world.store, world.version.version
    raw = json.loads(store.get(store_layout.manifest(version)))
    data = json.dumps(raw | {"batchId": "b1"}, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    digest = digest_of(data)
    (world.folder / "versions" / version).rename(world.folder / "versions" / version_of(digest))
    store.put(store_layout.manifest(version_of(digest)), data)
    store.put(store_layout.batch("b1") + "a.jsonl", "\n".join(map(json.dumps, sessions)).encode())
    OPENED[digest] = OPENED[world.version.digest]
    world.version = world.version.model_copy(update={"version": version_of(digest), "digest": digest})


def session(number: int, *, clicked: bool = True) -> dict[str, Any]:
    return {
        "session_id": str(number),
        "search_query": f"asked for {number}" if clicked else f"nothing {number}",
        "created_at": 1_700_000_000 + number,
        "search_results": [{"object_id": "sku-1"}, {"object_id": "sku-2"}],
        "events": [{"object_id": "sku-2"}] if clicked else [],
    }


@pytest.mark.parametrize(
    ("clicked", "queries", "searched"), [(25, 25, "ClickedQueries"), (230, 200, "ClickedQueries"), (19, ITEMS, "Items")]
)
def test_clicked_queries_of_the_versions_batch_are_searched_for_if_there_are_enough(
    world: World, monkeypatch: pytest.MonkeyPatch, clicked: int, queries: int, searched: str
) -> None:
    world.index(1)
    learned_from(world, [*(session(n, clicked=False) for n in range(300, 330)), *map(session, range(clicked))])
    shutil.rmtree(world.folder / "indexes")
    seen, world.vectors = encoded_texts(monkeypatch), INT8
    made = world.index(1).vectors
    assert made is not None
    assert (made.loss.queries, made.loss.searched) == (queries, searched)
    asked = [text for text in seen if text.startswith("asked for")]
    assert asked == ([f"asked for {n}" for n in range(queries)] if searched == "ClickedQueries" else [])
    assert not [text for text in seen if text.startswith("nothing")]


def test_more_dimensions_than_the_version_has_are_refused_before_anything_is_encoded(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.vectors, seen = Vectors(dimensions=4096), encoded_texts(monkeypatch)
    with pytest.raises(PlanInvalid, match=r"vectors\.dimensions is 4096, and the version's vectors have"):
        world.index(1)
    assert seen == []
    assert list(world.store.list("indexes/")) == []
